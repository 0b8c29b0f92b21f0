// Imports point down only: daemon -> src; nbd -> block -> iscsi -> transport -> {iser, memory} -> reactor;
// scsi, wire and errors stand under all of them.
// What stands under every layer, itself without imports but errors.
const ground = ['errors', 'timers', 'checked-state', 'histogram', 'batch-clock'];
const layers = {
  nbd: ['block', 'memory', 'reactor', 'wire'],
  block: ['iscsi', 'scsi', 'memory', 'reactor', 'wire'],
  iscsi: ['transport', 'scsi', 'memory', 'reactor', 'wire'],
  transport: ['iser', 'memory', 'reactor', 'wire'],
  iser: ['wire'],
  memory: ['reactor', 'wire'],
  reactor: ['wire'],
  scsi: ['wire'],
  wire: [],
};
module.exports = {
  forbidden: [
    ...Object.entries(layers).map(([layer, below]) => ({
      name: `${layer}-imports-down`,
      severity: 'error',
      from: { path: `^src/${layer}(/|\\.ts$)` },
      to: { path: '^src/', pathNot: `^src/(${[layer, ...below, ...ground].join('|')})(/|\\.ts$)` },
    })),
    {
      name: 'src-not-daemon',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(daemon|test)/' },
    },
    {
      name: 'daemon-not-test',
      severity: 'error',
      from: { path: '^daemon/' },
      to: { path: '^test/' },
    },
    {
      name: 'src-has-no-process',
      comment: 'the library reads no argv, environment or files of its own accord',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(node:)?(fs|fs/promises|child_process|process|net)$' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
