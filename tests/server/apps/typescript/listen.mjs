// Listens to topics as users of the official TypeScript SDK do, and prints what it hears, a line each.
import { Inngest } from "inngest";

const [channel, ...topics] = process.argv.slice(2);
const client = new Inngest({ id: "listener", isDev: true, baseUrl: process.env.SERVER });
await client.realtime.subscribe({ channel, topics, onMessage: (message) => console.log(JSON.stringify(message)) });
console.log('"listening"');
