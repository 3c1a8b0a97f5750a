"use strict";
/** The five calls. Each is described in index.d.ts. */

const { ApiError, Unreachable } = require("./errors.js");
const { readBalance, readEvent } = require("./json.js");
const { checkSecret } = require("./signing.js");
const { Transport, sleep } = require("./transport.js");

const POLL_URL = "https://poll.invalid/";

class Cerber {
  #merchId;
  #paymentSecret;
  #balanceSecret;
  #transport;

  constructor({ base_url, merch_id, payment_secret = "", balance_secret = "", timeout = 10, patience = 30 }) {
    this.#merchId = merch_id;
    this.#paymentSecret = payment_secret && checkSecret(payment_secret, "payment_secret");
    this.#balanceSecret = balance_secret && checkSecret(balance_secret, "balance_secret");
    this.#transport = new Transport(base_url, timeout, patience);
  }

  async getWallet({ payment_id, user_wallet, sum, callback_url = POLL_URL, create_time = new Date().toISOString() }) {
    if (typeof sum !== "string") throw new TypeError("a sum is a decimal text, such as '12.50'");
    const fields = { payment_id, user_wallet, sum, callback_url, create_time };
    const told = await this.#paying("POST", "get_wallet", fields);
    return {
      payment_id: told.payment_id,
      wallet_number: told.wallet_number,
      wallet_link: told.wallet_link,
      image: told.image,
    };
  }

  async updateStatus(payment_id, status) {
    return (await this.#paying("POST", "update_status", { payment_id, status })).status;
  }

  async getStatus(payment_id) {
    return (await this.#paying("GET", "get_status", { payment_id })).status;
  }

  async getBalance({ start_date, end_date, callback_url } = {}) {
    return readBalance(await this.#counting("get_balance", { start_date, end_date, callback_url }));
  }

  async getEvents({ after = null, limit = 100, signal } = {}) {
    const told = await this.#counting("get_events", { after, limit }, signal);
    const events = told.events.map((entry) => readEvent(entry["webhook-id"], entry.body, entry));
    return { events, cursor: told.cursor, has_more: told.has_more };
  }

  async *events({ after = null, follow = true, every = 5, limit = 100, signal } = {}) {
    for (;;) {
      const page = await this.#nextPage({ after, limit, signal }, follow, every);
      yield* page.events;
      after = page.cursor;
      if (!page.has_more && !follow) return;
      if (!page.has_more) await sleep(every, signal);
    }
  }

  /** Waits through outages where the events are followed. */
  async #nextPage(asked, follow, every) {
    for (;;) {
      try {
        return await this.getEvents(asked);
      } catch (error) {
        const passing = (error instanceof ApiError || error instanceof Unreachable) && error.mayPass;
        if (!follow || !passing) throw error;
        await sleep(Math.max(every, error.retry_after ?? 0), asked.signal);
      }
    }
  }

  #paying(method, name, fields) {
    const secret = known(this.#paymentSecret, "payment_secret");
    return this.#transport.send(method, name, secret, { merch_id: this.#merchId, ...fields });
  }

  #counting(name, fields, signal) {
    const secret = known(this.#balanceSecret, "balance_secret");
    const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
    return this.#transport.send("GET", name, secret, { merch_id: this.#merchId, ...Object.fromEntries(given) }, signal);
  }
}

function known(secret, name) {
  if (!secret) throw new RangeError(`this call is signed with the ${name}, which was not given`);
  return secret;
}

module.exports = { Cerber };
