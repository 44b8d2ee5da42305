// A workload of BullMQ: several workers, retries with backoff, failures, delays, priorities, results, a
// flow of parents and children, a repeated job, a rate limit, stalled jobs.  usage: node jobs.mjs PORT
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } from "bullmq";
import Redis from "ioredis";

const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const LIMIT_MS = 60_000;
const numbers = (count) => Array.from({ length: count }, (_, number) => number);

async function until(what, condition) {
  const deadline = Date.now() + LIMIT_MS;
  while (Date.now() < deadline) {
    const found = await condition();
    if (found) return found;
    await sleep(50);
  }
  throw new Error(`not within ${LIMIT_MS} ms: ${what}`);
}

// A queue, its events and some workers, for as long as `play` lasts.
async function stage(name, workers, process, play, options = {}) {
  const queue = new Queue(name, { connection });
  const events = new QueueEvents(name, { connection });
  // Each job that is waited for listens.
  [queue, events].forEach((one) => one.setMaxListeners(0));
  await events.waitUntilReady();
  const crew = numbers(workers).map(() => new Worker(name, process, { connection, ...options }));
  crew.forEach((worker) => worker.on("error", (error) => assert.fail(error)));
  await Promise.all(crew.map((worker) => worker.waitUntilReady()));
  await play(queue, events, crew);
  await Promise.all(crew.map((worker) => worker.close()));
  await events.close();
  await queue.close();
  console.log(`bullmq, ${name}: passed`);
}

async function manyJobs() {
  const runs = new Map();
  const square = async (job) => {
    runs.set(job.data.number, (runs.get(job.data.number) ?? 0) + 1);
    await job.updateProgress(50);
    await job.log(`squaring ${job.data.number}`);
    return job.data.number ** 2;
  };
  await stage("many", 3, square, async (queue, events) => {
    let completed = 0;
    events.on("completed", () => (completed += 1));
    const jobs = await queue.addBulk(numbers(300).map((number) => ({ name: "square", data: { number } })));
    const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, LIMIT_MS)));
    assert.deepEqual(results, numbers(300).map((number) => number ** 2));
    assert.ok(numbers(300).every((number) => runs.get(number) === 1), "each job runs exactly once");
    await until("all events", () => completed === 300);
    const counts = await queue.getJobCounts("completed", "failed", "active", "wait", "delayed");
    assert.deepEqual(counts, { completed: 300, failed: 0, active: 0, wait: 0, delayed: 0 });
    assert.deepEqual((await queue.getJobLogs(jobs[7].id)).logs, ["squaring 7"]);
    // The same id again is the same job.
    await queue.add("square", { number: 1 }, { jobId: "only-once" });
    await queue.add("square", { number: 1 }, { jobId: "only-once" });
    await until("the job of a given id", async () => (await queue.getCompletedCount()) === 301);
    await queue.obliterate({ force: true });
    assert.equal(await queue.count(), 0);
  }, { concurrency: 10 });
}

async function failuresAndRetries() {
  const process = async (job) => {
    if (job.name === "stubborn" && job.attemptsMade < 2) throw new Error("not yet");
    if (job.name === "hopeless") throw new UnrecoverableError("never");
    if (job.name === "failing") throw new Error("on purpose");
    return "at last";
  };
  await stage("retries", 2, process, async (queue, events) => {
    const backoff = { type: "exponential", delay: 100 };
    const stubborn = await queue.add("stubborn", {}, { attempts: 5, backoff });
    assert.equal(await stubborn.waitUntilFinished(events, LIMIT_MS), "at last");
    assert.equal((await queue.getJob(stubborn.id)).attemptsMade, 3);
    const failing = await queue.add("failing", {}, { attempts: 3, backoff: { type: "fixed", delay: 50 } });
    await assert.rejects(failing.waitUntilFinished(events, LIMIT_MS), /on purpose/);
    const hopeless = await queue.add("hopeless", {}, { attempts: 3 });
    await assert.rejects(hopeless.waitUntilFinished(events, LIMIT_MS), /never/);
    const failed = await queue.getFailed();
    assert.deepEqual(failed.map((job) => [job.id, job.attemptsMade]).sort(), [[failing.id, 3], [hopeless.id, 1]].sort());
    assert.ok(failed.every((job) => job.stacktrace.length >= 1));
    await failed.find((job) => job.id === failing.id).retry();
    await until("the retried job's failure", async () => (await queue.getJob(failing.id)).attemptsMade === 4);
  });
}

async function delaysAndPriorities() {
  const order = [];
  const process = async (job) => {
    order.push(job.name);
    return Date.now();
  };
  await stage("delays", 1, process, async (queue, events) => {
    const added = Date.now();
    const late = await queue.add("late", {}, { delay: 1500 });
    assert.equal(await late.getState(), "delayed");
    const never = await queue.add("never", {}, { delay: 1_000_000 });
    assert.ok((await late.waitUntilFinished(events, LIMIT_MS)) - added >= 1500);
    await never.promote();
    await never.waitUntilFinished(events, LIMIT_MS);
    await queue.pause();
    order.length = 0;
    for (const priority of [5, 1, 3, 2, 4]) await queue.add(`p${priority}`, {}, { priority });
    assert.deepEqual(await queue.getCountsPerPriority([1, 2, 3, 9]), { 1: 1, 2: 1, 3: 1, 9: 0 });
    await queue.resume();
    await until("five jobs", () => order.length === 5);
    assert.deepEqual(order, ["p1", "p2", "p3", "p4", "p5"]);
    await queue.pause();
    await queue.add("paused", {});
    await sleep(300);
    assert.equal(order.length, 5, "a paused queue rests");
    await queue.resume();
    await until("the job of the paused queue", () => order.length === 6);
  });
}

async function flow() {
  const process = async (job) => {
    if (job.name === "part") return job.data.number;
    const parts = Object.values(await job.getChildrenValues());
    return parts.reduce((sum, part) => sum + part, 0);
  };
  await stage("flow", 2, process, async (queue, events) => {
    const producer = new FlowProducer({ connection });
    const part = (number) => ({ name: "part", queueName: "flow", data: { number } });
    const half = (from) => ({ name: "sum", queueName: "flow", children: numbers(10).map((one) => part(from + one)) });
    const tree = await producer.add({ name: "sum", queueName: "flow", children: [half(0), half(10)] });
    assert.equal(await tree.job.waitUntilFinished(events, LIMIT_MS), 190);
    assert.equal(await queue.getCompletedCount(), 23);
    await producer.close();
  });
}

async function repeated() {
  let runs = 0;
  await stage("repeated", 2, async () => (runs += 1), async (queue) => {
    await queue.upsertJobScheduler("tick", { every: 200, limit: 4 });
    await until("four runs", () => runs === 4);
    await sleep(500);
    assert.equal(runs, 4, "no more than the limit");
    await queue.upsertJobScheduler("tock", { every: 200 });
    await until("two more runs", () => runs >= 6);
    assert.ok(await queue.removeJobScheduler("tock"));
    await sleep(300);
    const rest = runs;
    await sleep(600);
    assert.equal(runs, rest, "a removed scheduler is silent");
  });
}

async function limited() {
  const runs = [];
  await stage("limited", 2, async () => runs.push(Date.now()), async (queue) => {
    await queue.addBulk(numbers(12).map(() => ({ name: "job", data: {} })));
    await until("all jobs", () => runs.length === 12);
    assert.ok(runs.at(-1) - runs[0] >= 1000, "four a half second");
  }, { limiter: { max: 4, duration: 500 } });
}

// A worker that hangs loses its job to another one.
async function stalled() {
  const runs = [];
  const queue = new Queue("stalled", { connection });
  const lost = new Worker("stalled", null, { connection });
  const token = "a worker that dies";
  await queue.add("job", {});
  const job = await until("the job", () => lost.getNextJob(token));
  await job.extendLock(token, 500);
  const options = { connection, stalledInterval: 300, lockDuration: 5000 };
  const heir = new Worker("stalled", async (again) => runs.push(again.id), options);
  await until("the second run", () => runs.length === 1);
  assert.deepEqual(runs, [job.id]);
  await until("its completion", async () => (await queue.getCompletedCount()) === 1);
  await Promise.all([heir.close(), lost.close(true)]);
  await queue.close();
  console.log("bullmq, stalled: passed");
}

const server = new Redis(connection);
await server.flushall();
await manyJobs();
await failuresAndRetries();
await delaysAndPriorities();
await flow();
await repeated();
await limited();
await stalled();
await server.quit();
console.log("bullmq: passed");
process.exit(0);
