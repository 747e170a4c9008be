// An app as users of the official TypeScript SDK write it. It counts what it executes, at /calls.
import { createServer } from "node:http";
import { encryptionMiddleware } from "@inngest/middleware-encryption";
import express from "express";
import { Inngest, NonRetriableError, RetryAfterError, StepError, openai, referenceFunction, step } from "inngest";
import { connect } from "inngest/connect";
import { createDefer } from "inngest/experimental";
import { serve } from "inngest/express";
import { endpointAdapter, serveEndpoint } from "inngest/node";

const { SERVER, PROVIDER = "http://localhost:1", CHECKPOINTING = "yes", CONNECT = "no", LIMITS = "no", KEY } = process.env;
const client = new Inngest({
  id: "ts",
  isDev: true,
  baseUrl: SERVER,
  ...(CHECKPOINTING === "no" ? { checkpointing: false } : {}),
  ...(KEY ? { middleware: [encryptionMiddleware({ key: KEY })] } : {}),
});
const calls = {};
const note = (name) => {
  calls[name] = (calls[name] ?? 0) + 1;
  return name;
};
const functions = [];
const on = (id, options, handler) =>
  functions.push(client.createFunction({ id, retries: 1, triggers: [{ event: `ts/${id}` }], ...options }, handler));

on("child", {}, async ({ event }) => ({ child: event.data.of }));

on("steps", {}, async ({ event, step }) => {
  const first = await step.run("first", () => note("first"));
  const second = await step.run("second", () => ({ word: note("second") }));
  await step.sleep("nap", "3 days");
  await step.sleepUntil("until", new Date(Date.now() - 1000));
  const both = await Promise.all([step.run("left", () => note("left")), step.run("right", () => note("right"))]);
  const sent = await step.sendEvent("emit", { name: "ts/emitted", data: { x: 1 } });
  const called = await step.invoke("call", {
    function: referenceFunction({ appId: "ts", functionId: "child" }),
    data: { of: "steps" },
  });
  const seen = await step.waitForEvent("wait", { event: "ts/go", timeout: "1d", match: "data.id" });
  const silent = await step.waitForEvent("silence", { event: "ts/never", timeout: "1h" });
  const last = await step.run("last", () => note("last"));
  return { first, second, both, sent: sent.ids.length, called, seen: seen?.data, silent, last, id: event.data.id };
});

on("back", {}, async ({ event, step }) => {
  const doubled = referenceFunction({ appId: "sample", functionId: "doubled" });
  return { back: await step.invoke("call", { function: doubled, data: { n: event.data.n + 1 } }) };
});

on("many", {}, async ({ step }) => {
  const names = [];
  for (let number = 0; number < 5; number++) {
    names.push(await step.run(`step-${number}`, () => note(`step-${number}`)));
  }
  return names;
});

on("slow", {}, async ({ step }) => {
  for (let number = 0; number < 4; number++) {
    await step.run(`slow-${number}`, async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return note(`slow-${number}`);
    });
  }
  return "slow";
});

on("race", {}, async ({ step, group }) => {
  const won = await group.parallel(
    async () =>
      Promise.race([
        step.run("fast", () => note("fast")),
        step.run("other", () => note("other")),
        step.sleep("slow", "2 days").then(() => "slow"),
      ]),
    { mode: "race" },
  );
  return [won, await step.run("after", () => note("after"))];
});

on("fetch", {}, async ({ step }) => {
  const answer = await step.fetch(`${PROVIDER}/page?x=1`, { method: "POST", body: JSON.stringify({ q: 1 }) });
  return { status: answer.status, body: await answer.json() };
});

on("infer", {}, async ({ step }) => {
  const answer = await step.ai.infer("ask", {
    model: openai({ model: "gpt-test", apiKey: "secret", baseUrl: PROVIDER }),
    body: { messages: [{ role: "user", content: "hello" }] },
  });
  const wrapped = await step.ai.wrap("wrap", async (word) => note(word), "wrapped");
  return [answer.choices[0].message.content, wrapped];
});

on("waits", {}, async ({ step }) => step.waitForSignal("wait", { signal: "go", timeout: "1d" }));
on("signals", {}, async ({ step }) => step.sendSignal("send", { signal: "go", data: { x: 1 } }));

on("caught", {}, async ({ step }) => {
  try {
    await step.run("bad", () => {
      note("bad");
      throw new Error("no");
    });
  } catch (error) {
    return { caught: error.message, isStepError: error instanceof StepError };
  }
});
on("final", {}, async ({ step }) => {
  await step.run("bad", () => {
    note("final");
    throw new NonRetriableError("never again");
  });
});
on("later", {}, async ({ step }) =>
  step.run("later", () => {
    if (note("later") && calls.later < 2) throw new RetryAfterError("later", 7000);
    return "at last";
  }),
);
on("fails", { onFailure: async ({ error }) => note(`told: ${error.message}`) }, async () => {
  note("fails");
  throw new Error("no");
});
on("cancelled", { cancelOn: [{ event: "ts/stop", match: "data.id" }] }, async ({ step }) => step.sleep("long", "1d"));
on("batched", { batchEvents: { maxSize: 2, timeout: "10s" } }, async ({ events }) => events.map((each) => each.data.n));
on("alone", { singleton: { mode: "skip" } }, async ({ step }) => step.sleep("a while", "1m"));
on("newest", { singleton: { mode: "cancel", key: "event.data.id" } }, async ({ step }) => step.sleep("a while", "1m"));
on("overdue", { timeouts: { finish: "1m" } }, async ({ step }) => step.sleep("long", "1d"));
on("once", { idempotency: "event.data.order" }, async () => note("once"));
on("calm", { debounce: { period: "10s" } }, async ({ event }) => event.data.n);

// What is kept in Redis: a server without one does not take such functions.
const works = async ({ step }) => step.run("work", () => note("work"));
if (LIMITS === "yes") {
  on("keyed", { concurrency: [{ limit: 2 }, { limit: 1, key: "event.data.customer" }] }, works);
  on("shared", { concurrency: { limit: 1, scope: "env", key: '"vendor"' } }, works);
  on("sharing", { concurrency: { limit: 1, scope: "env", key: '"vendor"' } }, works);
  on("throttled", { throttle: { limit: 1, period: "1m", burst: 1, key: "event.data.customer" } }, works);
  on("rated", { rateLimit: { limit: 1, period: "1h", key: "event.data.customer" } }, works);
  on("urgent", { concurrency: 1, priority: { run: "event.data.urgent ? 120 : 0" } }, works);
  on("impatient", { concurrency: 1, timeouts: { start: "1m" } }, works);
}

on("secret", {}, async ({ event, step }) => {
  const { word } = event.data.encrypted;
  const loud = await step.run("shout", () => ({ word: word.toUpperCase() }));
  const reversed = await step.invoke("reverse", {
    function: referenceFunction({ appId: "sample", functionId: "reverse" }),
    data: { encrypted: loud },
  });
  await step.sendEvent("tell", { name: "ts/told", data: { encrypted: loud } });
  return { loud: loud.word, reversed };
});

const afterwards = createDefer(client, { id: "afterwards" }, async ({ event, parents }) => {
  note(`afterwards-${event.data.n}`);
  return { data: event.data, parents: parents.map((parent) => parent.fnSlug) };
});
functions.push(afterwards);
on("defers", {}, async ({ step, defer, event }) => {
  defer("kept", { function: afterwards, data: { n: 1 } });
  const dropped = defer("dropped", { function: afterwards, data: { n: 2 } });
  await step.run("one", () => note("one"));
  await step.sleep("nap", "1h");
  dropped.abort();
  await step.run("two", () => note("two"));
  if (event.data.fails) throw new NonRetriableError("no");
  return "done";
});

on("publishes", {}, async ({ event, step }) => {
  const news = { channel: event.data.channel, topic: "news" };
  await step.realtime.publish("tell", news, { n: note("publishes") });
  await step.run("more", async () => {
    await client.realtime.publish(news, "a text");
    await client.realtime.publish({ ...news, topic: "letters" }, new Blob(["streamed ", "text"]).stream());
  });
});

// A durable endpoint: steps in the handler of a request.
const endpoints = new Inngest({ id: "endpoints", isDev: true, baseUrl: SERVER, endpointAdapter });
const order = endpoints.endpoint(async (request) => {
  const kind = new URL(request.url).searchParams.get("kind");
  const seen = [await step.run("first", () => note("order"))];
  if (kind === "sleeps") await step.sleep("nap", "1h");
  if (kind === "parallel") {
    seen.push(...(await Promise.all(["l", "r"].map((side) => step.run(side, () => note(`order-${side}`))))));
  }
  if (kind === "fails") {
    seen.push(
      await step.run("flaky", () => {
        if (note("flaky") && calls.flaky < 2) throw new Error("flaky");
        return "at last";
      }),
    );
  }
  seen.push(await step.run("last", () => note("order-last")));
  return Response.json({ kind, seen });
});

const app = express();
app.all("/orders", serveEndpoint(order));
app.use(express.json({ limit: "50mb" }));
app.get("/calls", (_, response) => response.json(calls));
if (CONNECT === "no") app.use("/api/inngest", serve({ client, functions }));
// In a thread of its own, Node.js 20 has no WebSocket.
else await connect({ apps: [{ client, functions }], isolateExecution: false });
const server = createServer(app).listen(Number(process.env.PORT ?? 0), "127.0.0.1", () =>
  console.log(`listening on ${server.address().port}`),
);
