"use strict";

class CerberError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = this.constructor.name;
  }

  get mayPass() {
    return false;
  }
}

class Unreachable extends CerberError {
  get mayPass() {
    return true;
  }
}

class ApiError extends CerberError {
  constructor(status, told, retryAfter) {
    const errors = told.errors ?? [];
    const fields = errors.map(({ field, message }) => `${field} ${message}`).join("; ");
    super(`${status} ${told.code}: ${told.detail}` + (fields && ` (${fields})`));
    this.status = status;
    this.code = told.code;
    this.detail = told.detail;
    this.errors = errors;
    this.payment_status = told.payment_status ?? null;
    this.retry_after = retryAfter;
  }

  /** A limit, a failure of the gateway's, or its restart: the same request may succeed later. */
  get mayPass() {
    return this.status === 429 || this.status >= 500 || (this.status >= 300 && this.status < 400);
  }
}

class BadWebhook extends CerberError {}

module.exports = { ApiError, BadWebhook, CerberError, Unreachable };
