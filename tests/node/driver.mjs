// Drives a server with the official, unmodified SDK and asserts what comes back.
//
//   TRIGGER_API_URL=... TRIGGER_SECRET_KEY=... node driver.mjs [step ...]
//
// Needs the seed project's tasks: process-data, child-task, task-with-waits. Prints one JSON line for each step:
// {"step", "ok": true, "ms"} or {"step", "ok": false, "error"}; ends with 1 if any step failed.

import assert from "node:assert/strict";
import { auth, batch, envvars, idempotencyKeys, queues, runs, schedules, tasks, wait } from "@trigger.dev/sdk";

const POLL = { pollIntervalMs: 50 };
const mark = `driver_${process.pid}_${Date.now()}`;
const payload = (count) => ({ user_id: "123", data: Array.from({ length: count }, (_, id) => ({ id })) });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(read, holds, what) {
  for (let tries = 0; tries < 400; tries++) {
    const found = await read();
    if (holds(found)) return found;
    await pause(25);
  }
  throw new Error(`gave up waiting: ${what}`);
}

async function collect(pages) {
  const found = [];
  for await (const item of pages) found.push(item);
  return found;
}

const steps = {
  async trigger() {
    const handle = await tasks.trigger("process-data", payload(2), {
      tags: [mark, "driver"],
      metadata: { source: "driver" },
      ttl: "1h",
      priority: 10,
      maxAttempts: 2,
    });
    assert.match(handle.id, /^run_/);
    const run = await runs.poll(handle.id, POLL);
    assert.equal(run.status, "COMPLETED");
    assert.deepEqual(run.output, { processed: 2 });
    assert.deepEqual(run.payload, payload(2));
    assert.deepEqual([...run.tags].sort(), [mark, "driver"].sort());
    assert.equal(run.metadata.source, "driver");
    assert.equal(run.taskIdentifier, "process-data");
    assert.equal(run.attemptCount, 1);
    assert.ok(run.createdAt instanceof Date && run.finishedAt >= run.startedAt);
    assert.deepEqual([run.isSuccess, run.isFailed, run.isCancelled], [true, false, false]);
  },

  async retrieve() {
    const handle = await tasks.trigger("process-data", payload(1), { delay: "1h", concurrencyKey: "k" });
    const run = await runs.retrieve(handle);
    assert.equal(run.status, "DELAYED");
    assert.ok(run.isQueued && !run.isCompleted);
    assert.deepEqual(run.relatedRuns, {});
    await assert.rejects(runs.retrieve("run_nope"), (error) => error.status === 404);
    const sooner = await runs.reschedule(handle.id, { delay: new Date(0) });
    assert.equal(sooner.id, handle.id);
    assert.deepEqual((await runs.poll(handle.id, POLL)).output, { processed: 1 });
  },

  async failing() {
    const handle = await tasks.trigger("child-task", { data: "boom" }, { maxAttempts: 1 });
    const run = await runs.poll(handle.id, POLL);
    assert.equal(run.status, "FAILED");
    assert.equal(run.error.message, "boom");
    assert.equal(run.error.name, "ValueError");
    assert.equal(run.output, undefined);
  },

  async unknown() {
    await assert.rejects(tasks.trigger("proces-data", {}), (error) => {
      assert.equal(error.status, 404);
      assert.match(error.message, /process-data/);
      return true;
    });
    const tags = Array.from({ length: 11 }, (_, n) => `t${n}`);
    await assert.rejects(tasks.trigger("process-data", {}, { tags }), (error) => error.status === 422);
    await auth.withAuth({ accessToken: "tr_dev_wrong" }, () =>
      assert.rejects(tasks.trigger("process-data", {}), (error) => error.status === 401),
    );
  },

  async idempotency() {
    const idempotencyKey = await idempotencyKeys.create(mark, { scope: "global" });
    const options = { idempotencyKey, idempotencyKeyTTL: "1h" };
    const first = await tasks.trigger("process-data", payload(1), options);
    const second = await tasks.trigger("process-data", payload(9), options);
    assert.equal(second.id, first.id);
    assert.equal(second.isCached, true);
    assert.equal((await runs.retrieve(first.id)).idempotencyKey, mark);
    assert.deepEqual(await idempotencyKeys.reset("process-data", idempotencyKey), { id: idempotencyKey });
    const third = await tasks.trigger("process-data", payload(1), options);
    assert.notEqual(third.id, first.id);
    await idempotencyKeys.reset("process-data", mark, { scope: "global" });
    await assert.rejects(idempotencyKeys.reset("process-data", idempotencyKey), (error) => error.status === 404);
  },

  async batch() {
    const handle = await tasks.batchTrigger("process-data", [
      { payload: payload(1) },
      { payload: payload(2), options: { tags: [`${mark}_b`] } },
      { payload: payload(3) },
    ]);
    assert.equal(handle.runCount, 3);
    const done = await until(
      () => batch.retrieve(handle.batchId),
      (found) => found.status === "COMPLETED",
      "the batch is not completed",
    );
    assert.equal(done.runs.length, 3);
    const outputs = [];
    for (const id of done.runs) outputs.push((await runs.retrieve(id)).output.processed);
    assert.deepEqual(outputs, [1, 2, 3]);
    const listed = await collect(runs.list({ batch: handle.batchId }));
    assert.deepEqual(listed.map((run) => run.id).sort(), [...done.runs].sort());
  },

  async largeBatch() {
    const items = Array.from({ length: 500 }, () => ({ payload: payload(1) }));
    const handle = await tasks.batchTrigger("process-data", items);
    const done = await until(
      () => batch.retrieve(handle.batchId),
      (found) => found.status === "COMPLETED",
      "the large batch is not completed",
    );
    assert.equal(new Set(done.runs).size, 500);
  },

  async mixedBatch() {
    const handle = await batch.trigger([
      { id: "process-data", payload: payload(4) },
      { id: "child-task", payload: { data: "value" } },
    ]);
    const found = await batch.retrieve(handle.batchId);
    const ended = await Promise.all(found.runs.map((id) => runs.poll(id, POLL)));
    assert.deepEqual(ended.map((run) => run.output), [{ processed: 4 }, { processed: "value" }]);
  },

  async largePayload() {
    const large = { user_id: "x".repeat(200_000), data: [1, 2, 3] };
    const handle = await tasks.trigger("process-data", large);
    const run = await runs.poll(handle.id, POLL);
    assert.deepEqual(run.output, { processed: 3 });
    assert.equal(run.payload.user_id.length, 200_000);
  },

  async list() {
    const tag = `${mark}_list`;
    const made = [];
    for (let n = 0; n < 5; n++) made.push((await tasks.trigger("process-data", payload(n), { tags: tag })).id);
    for (const id of made) await runs.poll(id, POLL);
    const found = await collect(runs.list({ tag, limit: 2 }));
    assert.deepEqual(found.map((run) => run.id), [...made].reverse());
    assert.equal(found[0].env.name.length > 0, true);
    const completed = await runs.list({ tag, status: ["COMPLETED"], taskIdentifier: "process-data", limit: 10 });
    assert.equal(completed.data.length, 5);
    const failed = await runs.list({ tag, status: "FAILED" });
    assert.equal(failed.data.length, 0);
    const recent = await runs.list({ tag, period: "1h", queue: { type: "task", name: "process-data" } });
    assert.equal(recent.data.length, 5);
  },

  async cancel() {
    const handle = await tasks.trigger("task-with-waits", { seconds: 3600 });
    await until(
      () => runs.retrieve(handle.id),
      (run) => run.isWaiting || run.isExecuting,
      "the run has not started",
    );
    assert.deepEqual(await runs.cancel(handle.id), { id: handle.id });
    const run = await runs.poll(handle.id, POLL);
    assert.equal(run.status, "CANCELED");
    assert.ok(run.isCancelled && run.isCompleted);
    await runs.cancel(handle.id);
  },

  async replay() {
    const first = await tasks.trigger("process-data", payload(3));
    await runs.poll(first.id, POLL);
    const again = await runs.replay(first.id);
    assert.notEqual(again.id, first.id);
    assert.deepEqual((await runs.poll(again.id, POLL)).output, { processed: 3 });
    const other = await runs.replay(first.id, { payload: payload(1), tags: ["other"] });
    const run = await runs.poll(other.id, POLL);
    assert.deepEqual(run.output, { processed: 1 });
    assert.deepEqual(run.tags, ["other"]);
  },

  async publicTokens() {
    const handle = await tasks.trigger("process-data", payload(1));
    assert.ok(handle.publicAccessToken);
    await runs.poll(handle.id, POLL);
    await auth.withAuth({ accessToken: handle.publicAccessToken }, async () => {
      assert.deepEqual((await runs.retrieve(handle.id)).output, { processed: 1 });
      await assert.rejects(runs.cancel(handle.id), (error) => error.status === 403);
    });
    const reader = await auth.createPublicToken({ scopes: { read: { tasks: ["process-data"] } } });
    await auth.withAuth({ accessToken: reader }, () => runs.retrieve(handle.id));
    const once = await auth.createTriggerPublicToken("process-data");
    await auth.withAuth({ accessToken: once }, async () => {
      await tasks.trigger("process-data", payload(1));
      await assert.rejects(tasks.trigger("process-data", payload(1)), (error) => error.status === 422);
    });
  },

  async waitTokens() {
    const token = await wait.createToken({ timeout: "10m", tags: [mark] });
    assert.match(token.id, /^waitpoint_/);
    assert.equal((await wait.retrieveToken(token.id)).status, "WAITING");
    const listed = await collect(wait.listTokens({ tags: mark }));
    assert.deepEqual(listed.map((item) => item.id), [token.id]);
    await wait.completeToken(token, { approved: true });
    const done = await wait.retrieveToken(token.id);
    assert.equal(done.status, "COMPLETED");
    assert.deepEqual(done.output, { approved: true });
    const hooked = await wait.createToken();
    const answer = await fetch(hooked.url, { method: "POST", body: JSON.stringify({ by: "webhook" }) });
    assert.equal(answer.status, 200);
    assert.deepEqual((await wait.retrieveToken(hooked.id)).output, { by: "webhook" });
  },

  async largeBodies() {
    const data = "ü".repeat(400_000);
    const handle = await tasks.trigger("child-task", { data, at: new Date(0) });
    const run = await runs.poll(handle.id, POLL);
    assert.deepEqual(run.output, { processed: data });
    assert.equal((await runs.retrieve(handle.id)).payload.data.length, data.length);
    const token = await wait.createToken();
    await wait.completeToken(token, { data });
    assert.deepEqual((await wait.retrieveToken(token.id)).output, { data });
  },

  async envvars() {
    const [ref, slug] = ["proj_dev", "dev"];
    await envvars.create(ref, slug, { name: "A", value: "1" });
    await envvars.upload(ref, slug, { variables: { A: "2", B: "3" } });
    const values = async () => Object.fromEntries((await envvars.list(ref, slug)).map((item) => [item.name, item.value]));
    assert.deepEqual(await values(), { A: "1", B: "3" });
    await envvars.upload(ref, slug, { variables: { A: "2" }, override: true });
    assert.equal((await envvars.retrieve(ref, slug, "A")).value, "2");
    await envvars.del(ref, slug, "A");
    await assert.rejects(envvars.retrieve(ref, slug, "A"), (error) => error.status === 404);
    await envvars.del(ref, slug, "B");
    assert.deepEqual(await values(), {});
  },

  async schedules() {
    const page = await schedules.list({ page: 1, perPage: 10 });
    const report = page.data.find((schedule) => schedule.task === "daily-report");
    assert.equal(report.generator.expression, "0 9 * * *");
    assert.ok(report.nextRun > new Date());
    assert.equal((await schedules.retrieve(report.id)).id, report.id);
    assert.ok((await schedules.timezones()).timezones.includes("Europe/Berlin"));
    const wanted = { task: "daily-report", cron: "0 8 * * *", deduplicationKey: mark, externalId: "user_1" };
    const made = await schedules.create(wanted);
    assert.equal(made.generator.description, "At 08:00 every day");
    const moved = await schedules.create({ ...wanted, timezone: "Europe/Berlin" });
    assert.deepEqual([moved.id, moved.timezone], [made.id, "Europe/Berlin"]);
    const changed = await schedules.update(made.id, { task: "daily-report", cron: "0 7 * * *" });
    assert.deepEqual([changed.generator.expression, changed.externalId], ["0 7 * * *", null]);
    assert.equal((await schedules.deactivate(made.id)).active, false);
    assert.equal((await schedules.activate(made.id)).active, true);
    await assert.rejects(
      schedules.create({ ...wanted, cron: "never" }),
      (error) => error.status === 422 && error.message.includes("Invalid cron expression"),
    );
    assert.deepEqual(await schedules.del(made.id), { id: made.id });
    await assert.rejects(schedules.retrieve(made.id), (error) => error.status === 404);
    await assert.rejects(schedules.del(report.id), (error) => error.status === 422);
  },

  async debounce() {
    const debounce = { key: mark, delay: "1s", mode: "trailing" };
    const first = await tasks.trigger("process-data", payload(1), { debounce });
    const second = await tasks.trigger("process-data", payload(2), { debounce });
    assert.equal(second.id, first.id);
    assert.deepEqual((await runs.poll(first.id, POLL)).output, { processed: 2 });
    await assert.rejects(
      tasks.trigger("process-data", {}, { debounce: { key: "k", delay: "5s", maxDelay: "5s" } }),
      (error) => error.status === 422 && /must be longer/.test(error.message),
    );
  },

  async subscribeToRun() {
    const handle = await tasks.trigger("process-data", payload(2), { delay: "1s", tags: [mark], metadata: { a: 1 } });
    const seen = [];
    for await (const run of runs.subscribeToRun(handle.id)) seen.push(run);
    assert.equal(seen[0].status, "DELAYED");
    const last = seen.at(-1);
    assert.equal(last.status, "COMPLETED");
    assert.deepEqual([last.output, last.payload, last.metadata], [{ processed: 2 }, payload(2), { a: 1 }]);
    assert.deepEqual(last.tags, [mark]);
    assert.ok(last.isCompleted && last.finishedAt instanceof Date);
    await auth.withAuth({ accessToken: handle.publicAccessToken }, async () => {
      for await (const run of runs.subscribeToRun(handle.id, { skipColumns: ["payload"] })) {
        assert.equal(run.payload, undefined);
        assert.deepEqual(run.output, { processed: 2 });
      }
    });
    const failed = await tasks.trigger("child-task", { data: "boom" }, { maxAttempts: 1 });
    for await (const run of runs.subscribeToRun(failed)) seen.push(run);
    assert.equal(seen.at(-1).status, "FAILED");
    assert.equal(seen.at(-1).error.message, "boom");
  },

  async subscribeToRunsWithTag() {
    const tags = [`${mark}_sub`, 'quoted "tag"'];
    const before = await tasks.trigger("process-data", payload(1), { tags });
    await runs.poll(before.id, POLL);
    await tasks.trigger("process-data", payload(9), { tags: tags[0] });
    const ended = [];
    for await (const run of runs.subscribeToRunsWithTag(tags, { createdAt: "1h", skipColumns: ["metadata"] })) {
      assert.deepEqual([...run.tags].sort(), [...tags].sort());
      if (run.isCompleted) ended.push(run.id);
      if (ended.length === 1) ended.push((await tasks.trigger("process-data", payload(2), { tags })).id);
      if (ended.length === 3) break;
    }
    assert.deepEqual(ended, [before.id, ended[1], ended[1]]);
  },

  async subscribeToBatch() {
    const handle = await batch.trigger([
      { id: "process-data", payload: payload(1) },
      { id: "child-task", payload: { data: "x" } },
      { id: "process-data", payload: payload(3), options: { delay: "1s" } },
    ]);
    const outputs = new Map();
    for await (const run of runs.subscribeToBatch(handle.batchId)) {
      if (run.isCompleted) outputs.set(run.id, run.output.processed);
      if (outputs.size === 3) break;
    }
    assert.deepEqual([...outputs.values()].sort(), [1, 3, "x"]);
  },

  async queues() {
    const named = { type: "task", name: "process-data" };
    const found = await queues.retrieve(named);
    assert.deepEqual([found.name, found.type, found.paused], ["process-data", "task", false]);
    const page = await queues.list({ page: 1, perPage: 50 });
    assert.ok(page.data.some((queue) => queue.id === found.id));
    assert.equal((await queues.pause(found.id)).paused, true);
    const handle = await tasks.trigger("process-data", { user_id: "1", userId: "1", data: [] });
    assert.equal((await queues.retrieve(found.id)).queued, 1);
    assert.equal((await queues.resume(named)).paused, false);
    await runs.poll(handle, { pollIntervalMs: 50 });
    const limited = await queues.overrideConcurrencyLimit(named, 3);
    assert.deepEqual([limited.concurrencyLimit, limited.concurrency.override], [3, 3]);
    assert.ok(limited.concurrency.overriddenAt instanceof Date);
    const reset = await queues.resetConcurrencyLimit(named);
    assert.deepEqual([reset.concurrencyLimit, reset.concurrency.override], [null, null]);
    const odd = { type: "custom", name: `a/b-${mark.replace(/[^a-z0-9]/gi, "")}` };
    await tasks.trigger("process-data", { user_id: "1", userId: "1", data: [] }, { queue: { name: odd.name, concurrencyLimit: 1 } });
    assert.equal((await queues.retrieve(odd)).name, odd.name);
    await assert.rejects(queues.retrieve("queue_none"), (error) => error.status === 404);
  },

  // Needs a worker that executes durable waits; not among the steps that run by default.
  async waits() {
    const short = { seconds: 0.05, minutes: 0.001, hours: 0.00002, days: 0.000001, until_seconds: 0.05 };
    const handle = await tasks.trigger("task-with-waits", short);
    const name = "user-approval-token";
    const [token] = await until(
      () => collect(wait.listTokens({ idempotencyKey: name })),
      (found) => found.length > 0,
      "the run does not wait for the token",
    );
    await wait.completeToken(token.id, { by: "driver" });
    const run = await runs.poll(handle.id, POLL);
    assert.deepEqual(run.output, { status: "completed", approved_by: { by: "driver" } });
  },
};

const OPTIONAL = new Set(["waits"]);
const asked = process.argv.slice(2);
const chosen = asked.length > 0 ? asked : Object.keys(steps).filter((name) => !OPTIONAL.has(name));
let failed = false;
for (const step of chosen) {
  const start = performance.now();
  try {
    await steps[step]();
    console.log(JSON.stringify({ step, ok: true, ms: Math.round(performance.now() - start) }));
  } catch (error) {
    failed = true;
    console.log(JSON.stringify({ step, ok: false, error: String(error.stack ?? error) }));
  }
}
process.exit(failed ? 1 : 0);
