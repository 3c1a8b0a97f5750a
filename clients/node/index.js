"use strict";
/** Takes payments through a Cerber gateway, and reads its webhooks. Types and texts: index.d.ts. */

const { Cerber } = require("./lib/client.js");
const { ApiError, BadWebhook, CerberError, Unreachable } = require("./lib/errors.js");
const { manat, qepik } = require("./lib/money.js");
const { sign, signV2 } = require("./lib/signing.js");
const { readWebhook, verifySignature, verifyWebhook } = require("./lib/webhooks.js");

exports.Cerber = Cerber;
exports.ApiError = ApiError;
exports.BadWebhook = BadWebhook;
exports.CerberError = CerberError;
exports.Unreachable = Unreachable;
exports.manat = manat;
exports.qepik = qepik;
exports.sign = sign;
exports.signV2 = signV2;
exports.readWebhook = readWebhook;
exports.verifySignature = verifySignature;
exports.verifyWebhook = verifyWebhook;
