"use strict";
/** The Node client, told by standard input what to do: a JSON object a line, answered with one. */

const cerber = require("../../../../clients/node");
const { createInterface } = require("node:readline");

let client = null;
const CHECKS = { standard: cerber.verifyWebhook, signature: cerber.verifySignature };
const ORDERS = {
  client: (how) => ((client = new cerber.Cerber(how)), true),
  get_wallet: (fields) => client.getWallet(fields),
  update_status: ({ payment_id, status }) => client.updateStatus(payment_id, status),
  get_status: ({ payment_id }) => client.getStatus(payment_id),
  get_balance: (asked) => client.getBalance(asked),
  get_events: (asked) => client.getEvents(asked),
  events: async ({ count, ...how }) => {
    const found = [];
    for await (const event of client.events(how)) if (found.push(event) === count) break;
    return found;
  },
  sign: ({ secret, message }) => cerber.sign(secret, message),
  sign_v2: ({ secret, method, path, seconds, message }) => cerber.signV2(secret, method, path, seconds, message),
  verify: ({ check, body, headers, secret, now }) => (CHECKS[check](Buffer.from(body), headers, secret, now), true),
  read_webhook: ({ body, headers, now, ...secrets }) => cerber.readWebhook(Buffer.from(body), headers, secrets, now),
  qepik: ({ text }) => cerber.qepik(text),
  manat: ({ amount }) => cerber.manat(amount),
};

function failed(error) {
  if (!(error instanceof cerber.ApiError)) {
    const type = error instanceof RangeError ? "ValueError" : error.constructor.name;
    return { error: type, detail: error.message };
  }
  const { status, code, detail, payment_status, retry_after } = error;
  const errors = error.errors.map(({ field, message }) => [field, message]);
  return { error: "ApiError", status, code, detail, errors, payment_status, retry_after };
}

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    let told;
    try {
      told = { done: await ORDERS[order.do](order.with) };
    } catch (error) {
      told = failed(error);
    }
    process.stdout.write(JSON.stringify(told) + "\n");
  }
}

main();
