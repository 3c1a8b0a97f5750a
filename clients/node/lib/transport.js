"use strict";
/** Requests: signed, bounded in time, and repeated where that can help. */

const { ApiError, CerberError, Unreachable } = require("./errors.js");
const { fromJson, isObject } = require("./json.js");
const { signV2 } = require("./signing.js");

const USER_AGENT = "cerber-client-node/0.1.0";
const FIRST_PAUSE = 0.5; // seconds
const LONGEST_PAUSE = 8;
const UNEXPECTED = { code: "unexpected", detail: "This is no answer of the gateway's." };

class Transport {
  #root;
  #timeout;
  #patience;

  constructor(baseUrl, timeout, patience) {
    this.#root = rootOf(baseUrl);
    this.#timeout = timeout;
    this.#patience = patience;
  }

  /** The answer to a call. Rejects with ApiError and Unreachable, after repeats. By contract every call may be repeated. */
  async send(method, name, secret, fields, signal) {
    const ends = performance.now() + this.#patience * 1000;
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      try {
        return await this.#attempt(method, name, secret, fields, signal);
      } catch (error) {
        const wait = waitAfter(error, pause);
        if (!(error instanceof CerberError && error.mayPass) || performance.now() + wait * 1000 > ends) throw error;
        await sleep(wait, signal);
      }
    }
  }

  async #attempt(method, name, secret, fields, signal) {
    const { status, retryAfter, text } = await this.#exchange(...request(this.#root, method, name, secret, fields), signal);
    let told = null;
    try {
      told = fromJson(text);
    } catch {
      // Not the gateway's own words: told below.
    }
    if (status === 200 && isObject(told)) return told;
    throw new ApiError(status, isObject(told) && "code" in told ? told : UNEXPECTED, retryAfter);
  }

  async #exchange(url, options, signal) {
    const ours = AbortSignal.timeout(this.#timeout * 1000);
    try {
      const answer = await fetch(url, { ...options, redirect: "manual", signal: ours });
      return { status: answer.status, retryAfter: seconds(answer.headers.get("retry-after")), text: await answer.text() };
    } catch (cause) {
      signal?.throwIfAborted();
      throw new Unreachable(`The gateway did not answer: ${cause.cause?.message ?? cause.message}`, { cause });
    }
  }
}

function rootOf(baseUrl) {
  if (!/^https?:\/\/[^/?#\s]+(\/[^?#\s]*)?$/i.test(baseUrl))
    throw new RangeError(`${JSON.stringify(baseUrl)} is no URL such as https://gateway.example/bot_api/`);
  return baseUrl.replace(/\/+$/, "").replace(/\/bot_api$/, "");
}

/** URL and options of a request. A GET has its fields in the query: fetch sends no body with it. */
function request(root, method, name, secret, fields) {
  const path = `/bot_api/${name}/`;
  const isGet = method === "GET";
  const message = isGet ? new URLSearchParams(fields).toString() : JSON.stringify(fields);
  const now = Math.floor(Date.now() / 1000);
  const headers = {
    "Signature-V2": signV2(secret, method, path, now, message),
    "User-Agent": USER_AGENT,
    Accept: "application/json",
  };
  if (isGet) return [`${root}${path}?${message}`, { method, headers }];
  return [`${root}${path}`, { method, headers: { ...headers, "Content-Type": "application/json" }, body: message }];
}

function seconds(retryAfter) {
  return /^[0-9]+$/.test(retryAfter ?? "") ? Number(retryAfter) : null;
}

/** Seconds before the next attempt: a little at random, so that many clients don't come back at once. */
function waitAfter(error, pause) {
  return Math.max(pause * (0.5 + Math.random() / 2), error.retry_after ?? 0);
}

/** Rejects at once when the signal is aborted. */
function sleep(wait, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), wait * 1000);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}

module.exports = { Transport, sleep };
