// What generated code needs of the runtime for JavaScript.

export interface CallOptions {
  timeout?: number;
  signal?: AbortSignal;
}

export interface StreamOptions extends CallOptions {}

export interface Stream<Item, Result> extends AsyncIterable<Item> {
  close(): Promise<Result>;
  result(): Promise<Result>;
}

export interface Channel<Send, Item, Result> extends Stream<Item, Result> {
  send(item: Send): Promise<void>;
  end(): Promise<void>;
}

export interface Connection {
  readonly closed: boolean;
}

export class CallError extends Error {
  readonly code: string;
  readonly data: unknown;
}

export class DeclaredError extends CallError {}

export function connect(url: string): Promise<Connection>;
