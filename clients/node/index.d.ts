/**
 * Takes payments through a Cerber gateway, and reads its webhooks. Fields have the names of the API; ids are always
 * text; sums are decimal texts in manat (`12.50`); times in seconds.
 */

export type Status = "pending" | "confirming" | "accept" | "cancel";
export type Kind = "accept" | "cancel" | "change_sum" | "balance";
export type Headers = Record<string, string | string[] | undefined> | { get(name: string): string | null };

/** Where the payer is to send the money. `image`: a QR code of the link, PNG in base64. */
export interface Wallet {
  readonly payment_id: string;
  readonly wallet_number: string;
  readonly wallet_link: string;
  readonly image: string;
}

/** Sums of a shop's payments: received, awaited, and cancelled or written off. */
export interface Balance {
  readonly confirm_sum: string;
  readonly pending_sum: string;
  readonly canceled_sum: string;
}

/** What happened, out of a webhook or out of getEvents. Handle each `id` once. */
export interface Event {
  readonly id: string;
  readonly kind: Kind;
  readonly payment_id: string | null;
  /** All that has come for the payment so far. */
  readonly confirm_sum: string | null;
  /** What the payment is for; told with `change_sum` alone. */
  readonly payment_sum: string | null;
  readonly balance: Balance | null;
  /** The text as it was signed. */
  readonly body: string;
  /** RFC 3339. Known, as are the next two of the webhook's delivery, where the event was pulled. */
  readonly time: string | null;
  readonly state: "due" | "delivered" | "given_up" | null;
  readonly attempts: number | null;
}

/** `cursor`: what to ask for the next page with, as `after`. */
export interface EventPage {
  readonly events: readonly Event[];
  readonly cursor: string | null;
  readonly has_more: boolean;
}

export interface Settings {
  base_url: string;
  merch_id: string;
  payment_secret?: string;
  /** For getBalance and the events alone. */
  balance_secret?: string;
  /** Seconds for one attempt, all in all; 10. */
  timeout?: number;
  /** Seconds after which a call is not tried again; 30. A Retry-After that lies beyond is not waited for. */
  patience?: number;
}

/** A shop at a gateway. Every call may be made again, and is, where that can help. Rejects with ApiError and Unreachable. */
export class Cerber {
  constructor(settings: Settings);
  /**
   * Opens a payment: where is the payer to send the money? `create_time` is now unless given. With no
   * `callback_url` nothing is sent, and `events` tells what happens.
   */
  getWallet(payment: {
    payment_id: string;
    user_wallet: string;
    sum: string;
    callback_url?: string;
    create_time?: string;
  }): Promise<Wallet>;
  /** Tells that the payer says to have paid (`accept`), or gives up (`cancel`). Gives what the payment now is. */
  updateStatus(payment_id: string, status: "accept" | "cancel"): Promise<Status>;
  getStatus(payment_id: string): Promise<Status>;
  /** Both dates are included; none is open. With `callback_url` the balance is sent there too. */
  getBalance(asked?: { start_date?: string; end_date?: string; callback_url?: string }): Promise<Balance>;
  /** Up to `limit` (100; 500 at most) events after the one with the id `after`, or from the first one on. */
  getEvents(asked?: { after?: string | null; limit?: number }): Promise<EventPage>;
  /**
   * Each event after the one with the id `after`, in order: store the `id` of each once it is handled. Asks again
   * `every` (5) seconds and never ends, through outages too; with `follow: false` it ends with the last event there
   * is, and with `signal` when that is aborted. Rejects with ApiError for what waiting does not mend.
   */
  events(how?: {
    after?: string | null;
    follow?: boolean;
    every?: number;
    limit?: number;
    signal?: AbortSignal;
  }): AsyncGenerator<Event, void, void>;
}

/** The gateway refused, did not answer, or a webhook is not its own. `mayPass`: whether repeating may help. */
export class CerberError extends Error {
  readonly mayPass: boolean;
}

/** No whole answer came in time. Whether the request arrived is unknown; repeating it is safe. */
export class Unreachable extends CerberError {}

/** The gateway's refusal. */
export class ApiError extends CerberError {
  /** Of HTTP. */
  readonly status: number;
  /** Stable, such as `payment_closed`; `unexpected` where something else answered in the gateway's place. */
  readonly code: string;
  readonly detail: string;
  readonly errors: readonly { field: string; message: string }[];
  /** What the payment now is, where the refusal is about one. */
  readonly payment_status: Status | null;
  /** Seconds, where the gateway named some. */
  readonly retry_after: number | null;
}

/** The webhook is not the gateway's, was changed, is too old, or tells nothing that is known. */
export class BadWebhook extends CerberError {}

/**
 * The event that a genuine webhook tells. Throws BadWebhook: answer 400 then. Webhooks about payments are signed with
 * the payment secret, balances with the balance secret; one under the other's is refused. `body`: the raw bytes.
 */
export function readWebhook(
  body: Uint8Array | string,
  headers: Headers,
  secrets: { payment_secret?: string; balance_secret?: string },
  now?: number,
): Event;

/** By Standard Webhooks: unchanged, and sent within five minutes of `now` (Unix seconds). Throws BadWebhook. */
export function verifyWebhook(body: Uint8Array | string, headers: Headers, secret: string, now?: number): void;

/** By the published `Signature` alone, which is bound to no time and no webhook-id. Throws BadWebhook. */
export function verifySignature(body: Uint8Array | string, headers: Headers, secret: string): void;

/** `Signature`: of a request's raw body or query string, and of a webhook's body. */
export function sign(secret: string, message: Uint8Array | string): string;

/** `Signature-V2`: of the call (`POST`, `/bot_api/get_wallet/`) and the Unix time as well. */
export function signV2(
  secret: string,
  method: string,
  path: string,
  seconds: number,
  message: Uint8Array | string,
): string;

/** A sum in qəpik: `"12.5"` is 1250, so that `500` and `500.00` compare as equal. Throws RangeError. */
export function qepik(text: string): number;

/** So many qəpik as the gateway writes a sum: `500`, or `500.50`. */
export function manat(amount: number): string;
