/**
 * Enkaku clients for browsers and Node, over WebSocket, or HTTP with server-sent events.
 *
 * Values are not validated here: the server validates what it receives, and what it sends is taken to be as the types say.
 * What JSON cannot hold is written as `JSON.stringify` writes it, such as `NaN` as `null`.
 */

/** An error of the server, or of this client, that ended a call. `EK...` are codes of Enkaku itself. */
export class CallError<Data = unknown> extends Error {
  constructor(code: string, message: string, data?: Data)
  readonly code: string
  readonly data: Data
}

/** An error that the protocol declares. Generated code has a subclass for each, with a static `code`. */
export class DeclaredError<Data = unknown> extends CallError<Data> {
  constructor(message: string, data?: Data, code?: string)
}

/** The timeout of the call has passed, here or at the server. */
export class DeadlineExceeded extends CallError {
  constructor(message?: string)
}

/** The connection ended before the call, or there is none; or the page was left. Whether the handler has run is unknown. */
export class ConnectionLost extends Error {
  constructor(message: string, cause?: unknown)
}

/** The class of a declared error. */
export interface ErrorClass {
  new (message: string, data?: any): DeclaredError<any>
  readonly code: string
}

/** The class of declared errors with any code. */
export interface OtherErrorClass {
  new (message: string, data: any, code: string): DeclaredError<any>
}

/** A procedure, which generated code holds. The types are those of its values. */
export interface Event<Data> {
  readonly name: string
  readonly kind: "event"
  readonly errors?: Readonly<Record<string, ErrorClass>>
  /** Not at run time: it carries the types. */
  readonly types?: (data: Data) => void
}

export interface Request<Param, Result> {
  readonly name: string
  readonly kind: "request"
  readonly errors?: Readonly<Record<string, ErrorClass>>
  readonly otherError?: OtherErrorClass
  readonly types?: (param: Param) => Result
}

export interface StreamProcedure<Param, Receive, Result> {
  readonly name: string
  readonly kind: "stream"
  readonly errors?: Readonly<Record<string, ErrorClass>>
  readonly otherError?: OtherErrorClass
  readonly types?: (param: Param) => [Receive, Result]
}

export interface ChannelProcedure<Param, Send, Receive, Result> {
  readonly name: string
  readonly kind: "channel"
  readonly errors?: Readonly<Record<string, ErrorClass>>
  readonly otherError?: OtherErrorClass
  readonly types?: (param: Param, item: Send) => [Receive, Result]
}

export interface CallOptions {
  /** Milliseconds until the call ends with `DeadlineExceeded`; `null` is no limit, the default of streams and channels. */
  timeout?: number | null
  /** Aborts the call, which rejects with the signal's reason. */
  signal?: AbortSignal
  /** What the server gets with the call, in addition to the connection's `metadata`; of the same name, in its place. */
  metadata?: Metadata
}

/**
 * Strings by name, such as a token: at most 4 KiB as JSON. A name must not begin with `enkaku`, nor be `traceparent`,
 * `tracestate` or `baggage`: then the call rejects with a `TypeError`.
 */
export type Metadata = Readonly<Record<string, string>>

/** A stream. Iterate over it in one place; leaving the loop early aborts the call. */
export interface Stream<Receive, Result> extends AsyncIterable<Receive> {
  /** Wait until the handler returns. If the items are not iterated over, those beyond the window are dropped. */
  result(): Promise<Result>
  /** Ask the handler to finish, and wait for its result. Items that came before can still be read. */
  close(): Promise<Result>
  /** Abort the call: the handler is cancelled. The call rejects with an `AbortError`. */
  abort(reason?: string): void
}

/** A channel: a stream into which the client sends items, too. */
export interface Channel<Send, Receive, Result> extends Stream<Receive, Result> {
  /** Send an item. It resolves when the item was written, after the server has granted credit for it. */
  send(item: Send): Promise<void>
  /** Half-close: send no more items, and still receive. */
  end(): Promise<void>
}

/** Serves the calls of the server; `serve` of callbacks.js makes it. */
export interface Handler {
  /** Serve the calls of one connection. */
  connected(write: (message: string) => void): unknown
}

export type State = "connecting" | "open" | "closed"

export interface Options {
  /** By default WebSocket, or HTTP where there is none, where it does not get through, or with `headers`. */
  transport?: "auto" | "websocket" | "http"
  /**
   * Whether to connect again: by default, after a random part of 100 ms, which doubles up to 30 s. Open calls reject with
   * `ConnectionLost`; new ones wait for the next connection until their timeout. `first` and `longest` are milliseconds.
   * Status 401 or 403 ends the connection: then calls reject with a `CallError`, whose data has the status.
   */
  reconnect?: boolean | { first?: number; factor?: number; longest?: number }
  /** The timeout of requests and events in milliseconds: 60,000 by default; `null` is no limit. */
  timeout?: number | null
  /** Sent over HTTP only: a browser sends none with a WebSocket, for which `"websocket"` ignores them. */
  headers?: Readonly<Record<string, string>>
  /**
   * What the server gets with each call; or an async function that returns it, called before each call is sent, for tokens that
   * expire. The call rejects with what it throws, and its timeout bounds it.
   */
  metadata?: Metadata | (() => Promise<Metadata>)
  /**
   * Returns the metadata of a login, such as a token, by which the server learns who makes all further calls. It is called before
   * the first call, after each reconnect, and before the login expires, within `timeout`. If the server rejects the login, the
   * connection ends with that error. Over HTTP, each call sends the metadata. The module is `login.js`, beside `enkaku.js`.
   */
  login?: () => Promise<Metadata>
  /**
   * Serves the calls of the server. Over HTTP, the connection then is open while its feed is: a loss of the feed is a loss of the
   * connection.
   */
  handler?: Handler
  /** Called with each new state. */
  onState?: (state: State) => void
}

export interface Connection {
  readonly state: State
  /** Call a function with each new state; return a function that ends this. */
  onState(listener: (state: State) => void): () => void
  /** End every open call with `ConnectionLost`, and close the connection. */
  close(): Promise<void>
  request<Param, Result>(procedure: Request<Param, Result>, param?: Param, options?: CallOptions): Promise<Result>
  /** Send a notification. Over HTTP, it resolves when a handler has taken it; over WebSocket, when it was written. */
  event<Data>(procedure: Event<Data>, data?: Data, options?: CallOptions): Promise<void>
  stream<Param, Receive, Result>(
    procedure: StreamProcedure<Param, Receive, Result>,
    param?: Param,
    options?: CallOptions,
  ): Stream<Receive, Result>
  channel<Param, Send, Receive, Result>(
    procedure: ChannelProcedure<Param, Send, Receive, Result>,
    param?: Param,
    options?: CallOptions,
  ): Channel<Send, Receive, Result>
}

/** Connect in the background. The URL may be relative to the page; http and https mean the same as ws and wss. */
export function connect(url: string | URL, options?: Options): Connection
