"use strict";
/** What the gateway tells. Numbers stay text: no sum becomes a float, and an id is a text either way. */

const STRING_OR_NUMBER = /"(?:\\.|[^"\\])*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/g;
const KINDS = { confirm: "accept", cancel: "cancel" };

/** JSON with all numbers as their own text. Throws SyntaxError. */
function fromJson(text) {
  JSON.parse(text);
  return JSON.parse(text.replace(STRING_OR_NUMBER, (found) => (found.startsWith('"') ? found : `"${found}"`)));
}

function isObject(told) {
  return typeof told === "object" && told !== null && !Array.isArray(told);
}

/** Reads a webhook's body; `pulled`: its entry in get_events. Throws SyntaxError for one that is not known. */
function readEvent(id, body, pulled = {}) {
  const told = fromJson(body);
  const kind = kindOf(told);
  return {
    id,
    kind,
    ...(kind === "balance" ? { payment_id: null, confirm_sum: null } : about(told)),
    payment_sum: told.payment_sum ?? null,
    balance: kind === "balance" ? readBalance(told) : null,
    body,
    time: pulled.time ?? null,
    state: pulled.state ?? null,
    attempts: pulled.attempts === undefined ? null : Number(pulled.attempts),
  };
}

function readBalance({ confirm_sum, pending_sum, canceled_sum }) {
  return { confirm_sum, pending_sum, canceled_sum };
}

function about({ payment_id, confirm_sum }) {
  if (payment_id === undefined || confirm_sum === undefined) throw new SyntaxError("the body lacks a key");
  return { payment_id, confirm_sum };
}

/** The bodies name no kind: by their keys they are told apart. */
function kindOf(told) {
  if (!isObject(told)) throw new SyntaxError("the body is no object");
  if ("canceled_sum" in told) return "balance";
  if ("payment_sum" in told) return "change_sum";
  if (!Object.hasOwn(KINDS, told.status)) throw new SyntaxError("the body tells nothing that is known");
  return KINDS[told.status];
}

module.exports = { fromJson, isObject, readBalance, readEvent };
