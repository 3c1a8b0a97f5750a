"use strict";
/** The gateway's three signatures. A secret is the whole text `whsec_…`, never decoded first. */

const { createHmac } = require("node:crypto");

const SECRET = /^whsec_[A-Za-z0-9+/]{43}=$/; // base64 of 32 bytes

function sign(secret, message) {
  return createHmac("sha256", secret).update(message).digest("hex");
}

function signV2(secret, method, path, seconds, message) {
  const signed = Buffer.concat([Buffer.from(`${method}\n${path}\n${seconds}\n`), Buffer.from(message)]);
  return `t=${seconds},v2=${sign(secret, signed)}`;
}

/** One of those in `webhook-signature`, by Standard Webhooks: here the key is what the secret decodes to. */
function standardSignature(secret, webhookId, timestamp, body) {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const signed = Buffer.concat([Buffer.from(`${webhookId}.${timestamp}.`), Buffer.from(body)]);
  return "v1," + createHmac("sha256", key).update(signed).digest("base64");
}

/** The secret, if it has the form that was given out; else a RangeError that does not show it. */
function checkSecret(secret, name) {
  if (!SECRET.test(secret)) throw new RangeError(`${name} must be the whole text that was given out, whsec_ included`);
  return secret;
}

module.exports = { checkSecret, sign, signV2, standardSignature };
