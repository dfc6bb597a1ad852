// BullMQ: queue, worker, delays, priorities, retries, flows, schedulers and events.
const { FlowProducer, Queue, QueueEvents, Worker } = require('bullmq');
const { check, host, port, run, until } = require('./common');

const connection = { host, port };
const order = [];
const attempts = new Map();

async function work(job) {
  order.push(job.name);
  if (job.name === 'add') {
    await job.updateProgress(50);
    return job.data.a + job.data.b;
  }
  if (job.name === 'flaky') {
    attempts.set(job.id, (attempts.get(job.id) ?? 0) + 1);
    if (job.attemptsMade < 2) throw new Error(`try ${job.attemptsMade}`);
    return 'at last';
  }
  if (job.name === 'broken') throw new Error('never works');
  if (job.name === 'parent') return Object.values(await job.getChildrenValues()).sort();
  return job.data.n ?? null;
}

async function main() {
  const queue = new Queue('jobs', { connection });
  const events = new QueueEvents('jobs', { connection });
  queue.setMaxListeners(0);
  await events.waitUntilReady();
  const seen = { added: 0, completed: 0, progress: 0 };
  for (const name of Object.keys(seen)) events.on(name, () => { seen[name] += 1; });

  const low = await queue.add('low', {}, { priority: 9 });
  await queue.add('high', {}, { priority: 1 });
  await queue.add('middle', {}, { priority: 5 });
  check('counts before work', await queue.getJobCounts('prioritized', 'delayed', 'completed'), { prioritized: 3, delayed: 0, completed: 0 });
  const worker = new Worker('jobs', work, { connection, concurrency: 1 });
  await low.waitUntilFinished(events, 5000);
  check('priorities', order, ['high', 'middle', 'low']);

  const sum = await queue.add('add', { a: 2, b: 3 });
  check('result', await sum.waitUntilFinished(events, 5000), 5);

  const start = Date.now();
  const late = await queue.add('late', { n: 7 }, { delay: 400 });
  check('state of a delayed job', await late.getState(), 'delayed');
  check('delayed job', await late.waitUntilFinished(events, 5000), 7);
  const waited = Date.now() - start;
  check(`delay (${waited} ms)`, waited >= 390 && waited < 2500, true);

  const flaky = await queue.add('flaky', {}, { attempts: 3, backoff: { type: 'fixed', delay: 50 } });
  check('retried job', await flaky.waitUntilFinished(events, 5000), 'at last');
  check('attempts', attempts.get(flaky.id), 3);
  const broken = await queue.add('broken', {}, { attempts: 2 });
  check('failed job', await broken.waitUntilFinished(events, 5000).catch((e) => e.message), 'never works');
  check('state of a failed job', await broken.getState(), 'failed');

  await queue.pause();
  const batch = await queue.addBulk(Array.from({ length: 100 }, (_, n) => ({ name: 'many', data: { n } })));
  check('paused', [await queue.isPaused(), await queue.getJobCountByTypes('paused', 'waiting')], [true, 100]);
  await queue.resume();
  const results = await Promise.all(batch.map((job) => job.waitUntilFinished(events, 5000)));
  check('a hundred jobs', results, Array.from({ length: 100 }, (_, n) => n));

  const flow = new FlowProducer({ connection });
  const child = (n) => ({ name: 'child', queueName: 'jobs', data: { n } });
  const tree = await flow.add({ name: 'parent', queueName: 'jobs', children: [child(1), child(2), child(3)] });
  check('flow', await tree.job.waitUntilFinished(events, 5000), [1, 2, 3]);

  await queue.upsertJobScheduler('tick', { every: 200 }, { name: 'tick', data: {} });
  await until(() => order.filter((name) => name === 'tick').length >= 3);
  check('scheduler', order.filter((name) => name === 'tick').length >= 3, true);
  check('scheduler removed', await queue.removeJobScheduler('tick'), true);

  const once = await queue.add('once', {}, { jobId: 'same', delay: 60000 });
  await queue.add('once', {}, { jobId: 'same', delay: 60000 });
  check('one job an id', await queue.getDelayedCount(), 1);
  await once.promote();
  await once.waitUntilFinished(events, 5000);
  check('promoted', await once.getState(), 'completed');

  await until(() => seen.completed >= seen.added - 1);
  check('events', [seen.added >= 110, seen.completed >= 110, seen.progress], [true, true, 1]);
  await worker.close();
  await queue.obliterate({ force: true });
  check('nothing is left', Object.values(await queue.getJobCounts()).every((count) => count === 0), true);
  await Promise.all([queue.close(), events.close(), flow.close()]);
}

run(main);
