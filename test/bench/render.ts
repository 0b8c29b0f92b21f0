import { logger, parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/** A chart that is not what was asked for is none: the libraries only log it. */
function complain(...words: readonly unknown[]): never {
  throw new Error(`chart: ${words.map(String).join(' ')}`);
}

const strictLogger = { ...logger(), error: complain, warn: complain };

/** Text is measured without a canvas, by estimate: good enough for axis labels. */
export async function svgOf(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec, { logger: strictLogger }).spec), {
    renderer: 'none',
    logger: strictLogger,
  });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
