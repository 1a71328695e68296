// What a user writes against the client of the dashboard, and the types in it.

import { type Connection, DeclaredError } from "./enkaku.js";
import {
  DashboardClient,
  type LogLevel,
  type MetricsStreamReceive,
  type MetricsStreamResult,
  SystemRestartUnknownService,
} from "./client.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function same<A, B>(_: Same<A, B>): void {}

export async function use(connection: Connection, signal: AbortSignal): Promise<void> {
  const client = new DashboardClient(connection);
  const stream = client.metricsStream({ interval: 2000 }, { timeout: 5, signal, metadata: { token: "t" } });
  for await (const metric of stream) {
    same<typeof metric, MetricsStreamReceive>(true);
    same<typeof metric.cpu, number>(true);
    break;
  }
  same<Awaited<ReturnType<typeof stream.close>>, MetricsStreamResult>(true);
  const channel = client.logsWatch({ level: "info" });
  await channel.send({ level: "debug" });
  await channel.end();
  const { totalLogs } = await channel.result();
  same<typeof totalLogs, number>(true);
  same<LogLevel, "debug" | "info" | "warn" | "error">(true);
  try {
    const { success } = await client.systemRestart({ service: "web" });
    same<typeof success, boolean>(true);
  } catch (error) {
    if (error instanceof SystemRestartUnknownService) {
      same<typeof error.code, "UNKNOWN_SERVICE">(true);
      same<typeof error.data.known, readonly string[]>(true);
    }
    same<typeof SystemRestartUnknownService.code, "UNKNOWN_SERVICE">(true);
    if (error instanceof DeclaredError) {
      same<typeof error.code, string>(true);
    }
  }
}
