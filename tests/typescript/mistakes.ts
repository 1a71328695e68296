// Mistakes against the client of the dashboard: the compiler finds each, or complains of the comment above it.

import type { Connection } from "./enkaku.js";
import { DashboardClient, type LogLevel, SystemRestartUnknownService } from "./client.js";

export async function use(connection: Connection): Promise<void> {
  // @ts-expect-error: a client needs a connection
  new DashboardClient();
  const client = new DashboardClient(connection);
  // @ts-expect-error: the name of the method is in camelCase
  client.metrics_stream({ interval: 1 });
  // @ts-expect-error: the param is missing
  client.metricsStream();
  // @ts-expect-error: a required property is missing
  client.metricsStream({});
  // @ts-expect-error: the property has another type
  client.metricsStream({ interval: "1" });
  // @ts-expect-error: no such property
  client.metricsStream({ interval: 1, intervall: 2 });
  // @ts-expect-error: no such option
  client.metricsStream({ interval: 1 }, { timeouts: 2 });
  // @ts-expect-error: metadata has strings
  client.metricsStream({ interval: 1 }, { metadata: { number: 1 } });
  const stream = client.metricsStream({ interval: 1 });
  // @ts-expect-error: streams have no send
  stream.send({ level: "info" });
  const channel = client.logsWatch({ level: "info" });
  // @ts-expect-error: no such level
  await channel.send({ level: "all" });
  // @ts-expect-error: an item that is received is not one that is sent
  await channel.send({ message: "", timestamp: 0 });
  const result = await stream.result();
  // @ts-expect-error: properties are read-only
  result.totalSamples = 1;
  // @ts-expect-error: no such property
  result.total_samples;
  // @ts-expect-error: a literal type
  const level: LogLevel = "trace";
  const error = new SystemRestartUnknownService("none");
  // @ts-expect-error: the code is a literal
  error.code === "OTHER";
  // @ts-expect-error: arrays are read-only
  error.data.known.push(level);
}
