// One clock for films and curves: a frame number from 0 to `length`. Without a film it runs on the page's own time.

function makePlayer(T, hz, firstFrame, onFrame) {
  const player = { frame: 0, playing: false, speed: 1, length: T, films: [] };
  let last = 0, part = 0;
  const bounded = (frame) => Math.max(0, Math.min(player.length, frame));
  const timeIn = (film, frame) => (film.first + Math.min(frame, film.length) + 0.5) / hz;
  const longest = () => player.films.reduce((a, b) => (a && a.length >= b.length ? a : b), null); // its time is everybody's

  player.go = (frame) => {
    player.frame = bounded(frame);
    for (const film of player.films) film.video.currentTime = timeIn(film, player.frame);
    onFrame();
  };
  // Puts the films in the place of earlier ones: [{video, first, length}], first: the frame of the film where 0 is.
  player.attach = (films) => {
    player.films = films;
    player.length = Math.max(T, ...films.map((f) => f.length));
    for (const film of films) film.video.playbackRate = player.speed;
    player.go(player.frame);
    if (player.playing) run();
  };
  player.attachOwn = (video) => player.attach([{ video, first: firstFrame, length: T }]);
  player.setSpeed = (speed) => {
    player.speed = speed;
    for (const film of player.films) film.video.playbackRate = speed;
  };
  const run = () => {
    for (const film of player.films) if (player.frame < film.length) film.video.play().catch(player.pause);
  };
  player.play = () => {
    if (player.frame >= player.length) player.go(0);
    player.playing = true;
    last = performance.now();
    part = 0;
    run();
    requestAnimationFrame(tick);
    onFrame();
  };
  player.pause = () => {
    player.playing = false;
    for (const film of player.films) film.video.pause();
    onFrame();
  };
  player.toggle = () => (player.playing ? player.pause() : player.play());

  function tick(now) {
    if (!player.playing) return;
    const master = longest();
    if (master) {
      player.frame = bounded(Math.floor(master.video.currentTime * hz + 0.01) - master.first);
      for (const film of player.films) keepStep(film, master);
    } else {
      part += ((now - last) / 1000) * hz * player.speed;
      last = now;
      player.frame = bounded(player.frame + Math.floor(part));
      part -= Math.floor(part);
    }
    onFrame();
    if (player.frame >= player.length) player.pause();
    else requestAnimationFrame(tick);
  }

  function keepStep(film, master) {
    if (film === master) return;
    if (player.frame >= film.length) film.video.pause(); // it waits at its end
    else if (Math.abs(film.video.currentTime - timeIn(film, player.frame)) > 2 / hz) film.video.currentTime = timeIn(film, player.frame);
  }
  return player;
}
