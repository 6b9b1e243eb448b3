// One clock for video and curves: a frame number from 0 to T. Without a video it runs on the page's own time.

function makePlayer(T, hz, firstFrame, onFrame) {
  const player = { frame: 0, playing: false, speed: 1, video: null };
  let last = 0;
  const bounded = (frame) => Math.max(0, Math.min(T, frame));
  const videoTime = (frame) => (firstFrame + frame + 0.5) / hz;

  player.go = (frame) => {
    player.frame = bounded(frame);
    if (player.video) player.video.currentTime = videoTime(player.frame);
    onFrame();
  };
  player.attach = (video) => {
    player.video = video;
    video.playbackRate = player.speed;
    video.currentTime = videoTime(player.frame);
  };
  player.setSpeed = (speed) => {
    player.speed = speed;
    if (player.video) player.video.playbackRate = speed;
  };
  player.play = () => {
    if (player.frame >= T) player.go(0);
    player.playing = true;
    last = performance.now();
    if (player.video) player.video.play().catch(player.pause);
    requestAnimationFrame(tick);
    onFrame();
  };
  player.pause = () => {
    player.playing = false;
    if (player.video) player.video.pause();
    onFrame();
  };
  player.toggle = () => (player.playing ? player.pause() : player.play());

  let part = 0;
  function tick(now) {
    if (!player.playing) return;
    if (player.video) {
      const seen = Math.floor(player.video.currentTime * hz + 0.01) - firstFrame;
      if (seen !== player.frame) player.frame = bounded(seen);
    } else {
      part += ((now - last) / 1000) * hz * player.speed;
      last = now;
      player.frame = bounded(player.frame + Math.floor(part));
      part -= Math.floor(part);
    }
    onFrame();
    if (player.frame >= T) player.pause();
    else requestAnimationFrame(tick);
  }
  return player;
}
