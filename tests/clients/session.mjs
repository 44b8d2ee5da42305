// Sessions of ioredis (which speaks RESP2) and of node-redis in RESP2 and RESP3:
// strings, hashes, pipelines and SCAN.  usage: node session.mjs PORT
import assert from "node:assert/strict";
import Redis from "ioredis";
import { createClient } from "redis";

const port = Number(process.argv[2]);
const numbers = Array.from({ length: 500 }, (_, number) => number);

async function ioredis() {
  const client = new Redis({ port, lazyConnect: true, maxRetriesPerRequest: 1 });
  await client.connect();
  await client.flushall();
  assert.equal(await client.set("greeting", "hello"), "OK");
  assert.equal(await client.get("greeting"), "hello");
  assert.equal(await client.set("greeting", "other", "NX"), null);
  assert.equal(await client.incrby("counter", 41), 41);
  assert.deepEqual(await client.mget("greeting", "nothing"), ["hello", null]);
  assert.deepEqual(await client.getBuffer("greeting"), Buffer.from("hello"));
  assert.equal(await client.hset("user", { name: "Ann", age: 30 }), 2);
  assert.deepEqual(await client.hgetall("user"), { name: "Ann", age: "30" });
  assert.equal(await client.hincrby("user", "age", 5), 35);

  const pipeline = client.pipeline();
  numbers.forEach((number) => pipeline.set(`pipe:${number}`, number).get(`pipe:${number}`));
  const replies = await pipeline.exec();
  assert.deepEqual(replies.filter((_, index) => index % 2).map(([, value]) => value), numbers.map(String));
  const transaction = await client.multi().incr("counter").get("counter").exec();
  assert.deepEqual(transaction, [[null, 42], [null, "42"]]);
  await assert.rejects(client.hget("counter", "field"), /WRONGTYPE/);

  const found = new Set();
  for await (const keys of client.scanStream({ match: "pipe:*", count: 50 })) {
    keys.forEach((key) => found.add(key));
  }
  assert.equal(found.size, numbers.length);
  assert.equal(await client.dbsize(), numbers.length + 3);
  await client.quit();
  console.log("ioredis, RESP2: passed");
}

async function nodeRedis(RESP) {
  const client = createClient({ socket: { port }, RESP });
  await client.connect();
  await client.flushAll();
  assert.equal(await client.set("greeting", "hello"), "OK");
  assert.equal(await client.get("greeting"), "hello");
  assert.equal(await client.incrBy("counter", 41), 41);
  assert.equal(await client.hSet("user", { name: "Ann", age: "30" }), 2);
  assert.deepEqual({ ...(await client.hGetAll("user")) }, { name: "Ann", age: "30" });
  const values = await Promise.all(numbers.map((number) => client.set(`pipe:${number}`, String(number))));
  assert.ok(values.every((value) => value === "OK"));
  const transaction = await client.multi().incr("counter").get("counter").exec();
  assert.deepEqual(transaction, [42, "42"]);
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: "pipe:*", COUNT: 50 })) {
    keys.forEach((key) => found.add(key));
  }
  assert.equal(found.size, numbers.length);
  await client.close();
  console.log(`node-redis, RESP${RESP}: passed`);
}

await ioredis();
await nodeRedis(2);
await nodeRedis(3);
