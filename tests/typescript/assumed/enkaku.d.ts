// What generated code needs of the runtime for JavaScript.

export interface CallOptions {
  timeout?: number;
  signal?: AbortSignal;
}

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

export class CallError<Data = unknown> extends Error {
  constructor(code: string, message: string, data?: Data);
  readonly code: string;
  readonly data: Data;
}

export class DeclaredError<Data = unknown> extends CallError<Data> {
  constructor(message: string, data?: Data);
}

export function connect(url: string): Connection;
