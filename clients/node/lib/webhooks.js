"use strict";
/** Webhooks: whose they are, and what they tell. Always of the raw bytes, before anything parses them. */

const { timingSafeEqual } = require("node:crypto");

const { BadWebhook } = require("./errors.js");
const { readEvent } = require("./json.js");
const { checkSecret, sign, standardSignature } = require("./signing.js");

const TOLERANCE = 300; // seconds

function readWebhook(body, headers, { payment_secret = "", balance_secret = "" }, now = Date.now() / 1000) {
  const bytes = raw(body);
  const isBalance = bytes.includes('"canceled_sum":');
  const [secret, name] = isBalance ? [balance_secret, "balance_secret"] : [payment_secret, "payment_secret"];
  if (!secret) throw new BadWebhook(`a webhook for the ${name}, which was not given`);
  verifyWebhook(bytes, headers, secret, now);
  try {
    return readEvent(header(headers, "webhook-id"), bytes.toString());
  } catch (error) {
    throw new BadWebhook(`not a webhook that is known: ${error.message}`);
  }
}

function verifyWebhook(body, headers, secret, now = Date.now() / 1000) {
  const bytes = raw(body);
  checkSecret(secret, "the secret");
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  if (!id || !/^[0-9]{1,15}$/.test(timestamp))
    throw new BadWebhook("the headers webhook-id and webhook-timestamp are missing or unreadable");
  if (Math.abs(now - Number(timestamp)) > TOLERANCE)
    throw new BadWebhook("sent too long ago, or one of the two clocks is wrong");
  const good = standardSignature(secret, id, timestamp, bytes);
  const sent = header(headers, "webhook-signature").split(" "); // two of them during a rotation
  if (!sent.map((one) => same(good, one)).includes(true)) throw new BadWebhook("the signature is wrong");
}

function verifySignature(body, headers, secret) {
  const good = sign(checkSecret(secret, "the secret"), raw(body));
  if (!same(good, header(headers, "signature").toLowerCase())) throw new BadWebhook("the signature is wrong");
}

function same(good, sent) {
  const [left, right] = [Buffer.from(good), Buffer.from(sent)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Of Node's `request.headers`, of fetch's Headers, or of an object with names in any letter case. */
function header(headers, name) {
  if (typeof headers.get === "function") return headers.get(name) ?? "";
  const underscored = "http_" + name.replaceAll("-", "_");
  const found = Object.entries(headers).find(([key]) => [name, underscored].includes(key.toLowerCase()));
  return typeof found?.[1] === "string" ? found[1] : "";
}

function raw(body) {
  if (typeof body === "string") return Buffer.from(body);
  if (!(body instanceof Uint8Array)) throw new TypeError("give the raw bytes of the body, before anything parses it");
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

module.exports = { readWebhook, verifySignature, verifyWebhook };
