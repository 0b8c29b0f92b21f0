import { quoted } from '../errors.ts';
import {
  allocationContextId,
  allocationContextName,
  Info,
  Option,
  OptionReply,
} from './constants.ts';
import { NbdEnd } from './end.ts';
import type { ExportDirectory, NbdExport } from './export.ts';
import { blockSizes, findExport, transmissionFlags } from './export.ts';
import { OptionReader } from './option-reader.ts';
import {
  blockSizeInfo,
  exportInfo,
  exportNameReply,
  metaContextData,
  OptionReplies,
  serverData,
  textInfo,
} from './option-reply.ts';

/** What the options seen so far have settled. */
export interface Haggling {
  readonly directory: ExportDirectory;
  readonly payloadLength: number;
  noZeroes: boolean;
  structuredReplies: boolean;
  /** The export name for which base:allocation was last selected; void when the client goes on with another name. */
  allocationFor: string | undefined;
}

export type OptionResult =
  | { readonly kind: 'reply'; readonly output: Uint8Array }
  | {
      readonly kind: 'transmission';
      readonly output: Uint8Array;
      readonly nbdExport: NbdExport;
      /** As the client spelt it. */
      readonly name: string;
    }
  | {
      readonly kind: 'close';
      readonly output: Uint8Array;
      readonly end: NbdEnd;
      readonly detail: string;
    };

/**
 * Answers one option (proto.md: Option types). Data that is malformed throws a ProtocolError before anything has changed.
 */
export function answerOption(option: number, data: Uint8Array, haggling: Haggling): OptionResult {
  switch (option) {
    case Option.exportName:
      return exportName(data, haggling);
    case Option.abort:
      return {
        kind: 'close',
        output: new OptionReplies(option).add(OptionReply.ack).bytes(),
        end: NbdEnd.aborted,
        detail: 'NBD_OPT_ABORT',
      };
    case Option.list:
      return list(data, haggling);
    case Option.startTls:
      new OptionReader(data).end();
      return refuse(option, OptionReply.errorUnsupported, 'TLS is not offered');
    case Option.info:
    case Option.go:
      return infoOrGo(option, data, haggling);
    case Option.structuredReply:
      new OptionReader(data).end();
      haggling.structuredReplies = true;
      return { kind: 'reply', output: new OptionReplies(option).add(OptionReply.ack).bytes() };
    case Option.listMetaContext:
    case Option.setMetaContext:
      return metaContext(option, data, haggling);
    default:
      return refuse(option, OptionReply.errorUnsupported, 'option is not supported');
  }
}

function refuse(option: number, type: number, message: string): OptionResult {
  return { kind: 'reply', output: new OptionReplies(option).addError(type, message).bytes() };
}

/** The data is the name; the reply has no header, and there is none for an error. */
function exportName(data: Uint8Array, haggling: Haggling): OptionResult {
  const name = new OptionReader(data).string(data.length, 'export name');
  const nbdExport = findExport(haggling.directory, name);
  if (nbdExport === undefined) {
    return {
      kind: 'close',
      output: new Uint8Array(0),
      end: NbdEnd.unknownExport,
      detail: `no export ${quoted(name)}`,
    };
  }
  const { geometry } = nbdExport.device;
  const flags = transmissionFlags(geometry, haggling.structuredReplies);
  const output = exportNameReply(geometry.sizeBytes, flags, haggling.noZeroes);
  return { kind: 'transmission', output, nbdExport, name };
}

function list(data: Uint8Array, haggling: Haggling): OptionResult {
  new OptionReader(data).end();
  const replies = new OptionReplies(Option.list);
  for (const { name, description } of haggling.directory.list()) {
    replies.add(OptionReply.server, serverData(name, description));
  }
  return { kind: 'reply', output: replies.add(OptionReply.ack).bytes() };
}

/** name length u32 | name | count u16 | count x information type u16. */
function infoOrGo(option: number, data: Uint8Array, haggling: Haggling): OptionResult {
  const reader = new OptionReader(data);
  const name = reader.string(reader.uint32('export name length'), 'export name');
  const requested = new Set<number>();
  for (let left = reader.uint16('information count'); left > 0; left--) {
    requested.add(reader.uint16('information type'));
  }
  reader.end();
  const nbdExport = findExport(haggling.directory, name);
  if (nbdExport === undefined) {
    return refuse(option, OptionReply.errorUnknown, `no export ${quoted(name)}`);
  }
  const { geometry } = nbdExport.device;
  const flags = transmissionFlags(geometry, haggling.structuredReplies);
  const replies = new OptionReplies(option).add(
    OptionReply.info,
    exportInfo(geometry.sizeBytes, flags),
  );
  if (requested.has(Info.name)) {
    replies.add(OptionReply.info, textInfo(Info.name, nbdExport.name));
  }
  if (requested.has(Info.description)) {
    replies.add(OptionReply.info, textInfo(Info.description, nbdExport.description));
  }
  if (requested.has(Info.blockSize)) {
    const sizes = blockSizes(geometry, haggling.payloadLength);
    replies.add(OptionReply.info, blockSizeInfo(sizes));
  }
  const output = replies.add(OptionReply.ack).bytes();
  return option === Option.go
    ? { kind: 'transmission', output, nbdExport, name }
    : { kind: 'reply', output };
}

/**
 * name length u32 | name | count u32 | count x (query length u32 | query).
 * No query: LIST gives everything, SET selects nothing. "base:" stands for its whole namespace in LIST only. Namespaces that
 * we do not know are passed over in silence.
 */
function metaContext(option: number, data: Uint8Array, haggling: Haggling): OptionResult {
  const isList = option === Option.listMetaContext;
  const reader = new OptionReader(data);
  const name = reader.string(reader.uint32('export name length'), 'export name');
  const count = reader.uint32('query count');
  let matched = isList && count === 0;
  for (let left = count; left > 0; left--) {
    const query = reader.string(reader.uint32('query length'), 'query');
    if (query === allocationContextName || (isList && query === 'base:')) matched = true;
  }
  reader.end();
  if (!isList) {
    if (!haggling.structuredReplies) {
      return refuse(option, OptionReply.errorInvalid, 'structured replies come first');
    }
    haggling.allocationFor = undefined;
  }
  if (findExport(haggling.directory, name) === undefined) {
    return refuse(option, OptionReply.errorUnknown, `no export ${quoted(name)}`);
  }
  const replies = new OptionReplies(option);
  if (matched) {
    replies.add(OptionReply.metaContext, metaContextData(isList ? 0 : allocationContextId));
    if (!isList) haggling.allocationFor = name;
  }
  return { kind: 'reply', output: replies.add(OptionReply.ack).bytes() };
}
