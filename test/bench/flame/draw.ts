/** A tree of stacks as a chart: callers below, what they call above them, as wide as the samples in it. */
import type { TopLevelSpec } from 'vega-lite';
import type { Frame } from './stacks.ts';

const width = 1400;
const rowHeight = 17;
const characterWidth = 6.2;
/** Narrower frames cannot be seen. */
const leastWidth = 0.7;

interface Box {
  readonly from: number;
  readonly to: number;
  readonly depth: number;
  readonly text: string;
  readonly color: string;
}

const colors = { kernel: '#E8A33D', script: '#7FB77E', other: '#8FB8DE' } as const;

function colorOf(name: string): string {
  if (name.endsWith(' [k]')) return colors.kernel;
  return name.endsWith(' [js]') ? colors.script : colors.other;
}

/** Boxes of the tree, x in pixels. */
export function boxesOf(root: Frame): Box[] {
  const pixelsPerSample = width / Math.max(1, root.samples);
  const boxes: Box[] = [];
  const place = (frame: Frame, from: number, depth: number): void => {
    const to = from + frame.samples * pixelsPerSample;
    if (to - from < leastWidth) return;
    const share = ((100 * frame.samples) / root.samples).toFixed(1);
    const room = Math.floor((to - from) / characterWidth) - 1;
    const label = `${frame.name} ${share} %`;
    boxes.push({
      from,
      to,
      depth,
      text: room < 3 ? '' : label.length <= room ? label : `${frame.name.slice(0, room - 1)}…`,
      color: colorOf(frame.name),
    });
    let at = from;
    for (const child of frame.children) {
      place(child, at, depth + 1);
      at += child.samples * pixelsPerSample;
    }
  };
  place(root, 0, 0);
  return boxes;
}

export function flameSpec(root: Frame, title: string, subtitle: string): TopLevelSpec {
  const boxes = boxesOf(root);
  const rows = Math.max(...boxes.map(({ depth }) => depth)) + 1;
  const x = { type: 'quantitative', axis: null, scale: { domain: [0, width], nice: false } };
  const y = { type: 'quantitative', axis: null, scale: { domain: [0, rows], nice: false } };
  const color = { field: 'color', type: 'nominal', scale: null };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    title: {
      text: title,
      subtitle: [
        subtitle,
        'Orange: kernel. Green: JavaScript. Blue: addon, Node.js and libraries.',
      ],
      anchor: 'start',
      fontSize: 16,
    },
    width,
    height: rows * rowHeight,
    data: { values: boxes.map((box) => ({ ...box, above: box.depth + 1 })) },
    layer: [
      {
        mark: { type: 'rect', stroke: 'white', strokeWidth: 0.5 },
        encoding: {
          x: { ...x, field: 'from' },
          x2: { field: 'to' },
          y: { ...y, field: 'depth' },
          y2: { field: 'above' },
          color,
        },
      },
      {
        transform: [{ filter: "datum.text !== ''" }],
        mark: { type: 'text', align: 'left', baseline: 'bottom', dx: 3, dy: -3, fontSize: 10 },
        encoding: {
          x: { ...x, field: 'from' },
          y: { ...y, field: 'depth' },
          text: { field: 'text', type: 'nominal' },
        },
      },
    ],
    config: { view: { stroke: null }, font: 'monospace' },
  } as TopLevelSpec;
}
