// Mocha's spec reporter with last lines that scripts can read: "failed: TITLE: MESSAGE" for each failure, then "N passed, N failed, N skipped".
const { reporters } = require('mocha');

module.exports = class CountingReporter extends reporters.Spec {
  epilogue() {
    super.epilogue();
    for (const test of this.failures) {
      const message = String(test.err?.message ?? test.err).split('\n', 1)[0];
      console.log(`failed: ${test.fullTitle()}: ${message}`);
    }
    const { passes, failures, pending } = this.stats;
    console.log(`${passes} passed, ${failures} failed, ${pending} skipped`);
  }
};
