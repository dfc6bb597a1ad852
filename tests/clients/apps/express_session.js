// express-session with connect-redis: sessions that two servers share, expiry, touching, destroying, counting.
const express = require('express');
const session = require('express-session');
const { RedisStore } = require('connect-redis');
const nodeRedis = require('redis');
const { check, host, port, run, sleep } = require('./common');

async function server(client) {
  const store = new RedisStore({ client, prefix: 'sess:', ttl: 100 });
  const app = express();
  app.use(session({ store, secret: 'of the test', resave: false, saveUninitialized: false, cookie: { path: '/' } }));
  app.get('/count', (req, res) => {
    req.session.count = (req.session.count ?? 0) + 1;
    res.json({ count: req.session.count, user: req.session.user ?? null });
  });
  app.get('/login/:user', (req, res, next) => req.session.regenerate((error) => {
    if (error) return next(error);
    req.session.user = req.params.user;
    return res.json({ user: req.session.user });
  }));
  app.get('/short', (req, res) => { req.session.cookie.maxAge = 300; req.session.count = 41; res.json({}); });
  app.get('/logout', (req, res, next) => req.session.destroy((error) => (error ? next(error) : res.json({}))));
  app.get('/public', (req, res) => res.json({ user: req.session.user ?? null }));
  return new Promise((resolve) => {
    const web = app.listen(0, '127.0.0.1', () => resolve({ web, store, at: `http://127.0.0.1:${web.address().port}` }));
  });
}

// A browser: keeps its cookie.
class Browser {
  async get(server, path) {
    const response = await fetch(server.at + path, { headers: this.cookie ? { cookie: this.cookie } : {} });
    const [cookie] = response.headers.getSetCookie();
    if (cookie) [this.cookie] = cookie.split(';');
    return response.json();
  }

  get id() {
    return decodeURIComponent(this.cookie.split('=')[1]).slice(2).split('.')[0];
  }
}

async function main() {
  const client = nodeRedis.createClient({ socket: { host, port } });
  await client.connect();
  const [one, two] = [await server(client), await server(client)];
  const ann = new Browser();
  const bob = new Browser();

  check('nobody yet', [await ann.get(one, '/public'), ann.cookie, await client.dbSize()], [{ user: null }, undefined, 0]);
  check('a new session', await ann.get(one, '/count'), { count: 1, user: null });
  check('known to the other server', await ann.get(two, '/count'), { count: 2, user: null });
  check('another browser', await bob.get(two, '/count'), { count: 1, user: null });
  const before = ann.id;
  check('login', await ann.get(one, '/login/Änn 🙂'), { user: 'Änn 🙂' });
  check('a new id', [ann.id === before, await client.exists(`sess:${before}`), await client.exists(`sess:${ann.id}`)], [false, 0, 1]);
  check('who it is', await ann.get(two, '/count'), { count: 1, user: 'Änn 🙂' });

  const ttl = await client.ttl(`sess:${ann.id}`);
  check('time to live', ttl > 90 && ttl <= 100, true);
  await client.expire(`sess:${ann.id}`, 10);
  await ann.get(one, '/public');
  check('touched by a request', await client.ttl(`sess:${ann.id}`) > 90, true);

  const store = (method, ...args) => new Promise((resolve, reject) => {
    one.store[method](...args, (error, value) => (error ? reject(error) : resolve(value)));
  });
  check('all ids', (await store('ids')).sort(), [ann.id, bob.id].sort());
  check('how many', await store('length'), 2);
  check('all sessions', (await store('all')).map((s) => s.user ?? null).sort(), [null, 'Änn 🙂'].sort());

  const cy = new Browser();
  await cy.get(one, '/short');
  check('a short session', await cy.get(two, '/count'), { count: 42, user: null });
  await sleep(1300); // whole seconds, rounded up
  check('is over', await cy.get(two, '/count'), { count: 1, user: null });

  await ann.get(two, '/logout');
  check('logged out everywhere', await ann.get(one, '/public'), { user: null });
  const crowd = Array.from({ length: 50 }, () => new Browser());
  await Promise.all(crowd.map((browser, n) => browser.get(n % 2 ? one : two, '/count')));
  const again = await Promise.all(crowd.map((browser, n) => browser.get(n % 2 ? two : one, '/count')));
  check('fifty browsers', again.every(({ count }) => count === 2), true);
  await store('clear');
  check('cleared', [await store('length'), await bob.get(one, '/count')], [0, { count: 1, user: null }]);
  one.web.close();
  two.web.close();
  await client.quit();
}

run(main);
