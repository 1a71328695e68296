/** Serves the calls of a server: `connect(url, { handler: serve({ ... }) })`. */

import type { Handler, Metadata } from "./enkaku.js"

/** A call of the server, which a method serves. */
export interface ServedCall {
  /**
   * Aborted when nobody waits for the method any more: the server has aborted the call, its deadline has passed, or the
   * connection is lost. A generator then ends at its next `yield`.
   */
  readonly signal: AbortSignal
  /** Aborted when the server has closed the call. The method should return soon: its result is sent for 30 s. */
  readonly closing: AbortSignal
  /** What the server has sent with the call; empty by default. */
  readonly metadata: Metadata
}

/** A call of a channel. */
export interface ServedChannel<Send> extends ServedCall {
  /** What the server sends, to be read once. The loop ends when no more will come, and throws if the call is aborted. */
  readonly items: AsyncIterable<Send>
}

/** What generated code knows of a procedure. */
export interface ServedProcedure {
  readonly name: string
  readonly kind: "event" | "request" | "stream" | "channel"
}

/**
 * Make a handler of functions, which are named as the procedures.
 *
 * An async function serves a request or event. An async generator serves a stream or channel: it yields items, and returns the
 * result. A method that throws a `DeclaredError` replies with it; any other error is written to the console, and the server gets
 * `EK01`.
 */
export function serve(methods: Readonly<Record<string, (param: any, call: ServedChannel<any>) => unknown>>): Handler

/** Make a handler of an object with a method for each procedure, as generated code does. */
export function serve<Name extends string>(
  handler: Readonly<Record<Name, (param: any, call: any) => unknown>>,
  procedures: Readonly<Record<Name, ServedProcedure>>,
): Handler
