// The form of a protocol's definition that the TypeScript implementation asks for.

interface Typed {
  readonly type: "array" | "boolean" | "integer" | "null" | "number" | "object" | "string";
  readonly [key: string]: unknown;
}

interface Choice {
  readonly anyOf: readonly Typed[];
  readonly [key: string]: unknown;
}

interface OfType<Type extends string> {
  readonly type: Type;
  readonly [key: string]: unknown;
}

interface ErrorObject extends OfType<"object"> {
  readonly properties: {
    readonly code: OfType<"string">;
    readonly message: OfType<"string">;
    readonly data?: OfType<"object">;
  };
  readonly required: readonly ["code", "message"] | readonly ["code", "message", "data"];
  readonly additionalProperties: false;
}

type Schema = Typed | Choice;

interface Procedure<Type extends string> {
  readonly type: Type;
  readonly description?: string;
}

interface Answered<Type extends string> extends Procedure<Type> {
  readonly param?: Schema;
  readonly result?: Schema;
  readonly error?: ErrorObject;
}

interface EventProcedure extends Procedure<"event"> {
  readonly data?: OfType<"object">;
}

interface StreamProcedure extends Answered<"stream"> {
  readonly receive: Schema;
}

interface ChannelProcedure extends Answered<"channel"> {
  readonly send: Schema;
  readonly receive: Schema;
}

export type ProtocolDefinition = {
  readonly [name: string]: EventProcedure | Answered<"request"> | StreamProcedure | ChannelProcedure;
};
