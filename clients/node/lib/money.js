"use strict";

const SUM = /^([0-9]+)(?:\.([0-9]{1,2}))?$/;

function qepik(text) {
  const match = SUM.exec(text);
  if (match === null || text.endsWith("\n")) throw new RangeError(`${JSON.stringify(text)} is no sum such as 12.50`);
  const amount = Number(match[1]) * 100 + Number((match[2] ?? "").padEnd(2, "0"));
  if (!Number.isSafeInteger(amount)) throw new RangeError(`${text} is too large to calculate with`);
  return amount;
}

function manat(amount) {
  const whole = Math.floor(amount / 100);
  const rest = amount % 100;
  return rest ? `${whole}.${String(rest).padStart(2, "0")}` : String(whole);
}

module.exports = { manat, qepik };
