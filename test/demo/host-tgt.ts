/** A private tgt for the demo: writes its LUN's URL into the file (or FIFO) argv[2] and runs until SIGTERM. */
import { writeFileSync } from 'node:fs';
import { Tgt } from '../helpers/tgt.ts';

const tgt = await Tgt.start({ luns: [{ sizeBytes: 128 * 2 ** 20 }] });
process.on('SIGTERM', () => {
  void tgt.stop().then(() => process.exit(0));
});
writeFileSync(process.argv[2], `${tgt.urls[0]}\n`);
