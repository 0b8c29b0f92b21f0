/** The configuration file as data: the one place that knows every key, its values and its default. */
import { z } from 'zod';
import { ProtocolError } from '../../src/errors.ts';
import { parseTargetAddress } from '../../src/iscsi/target-address.ts';
import { parseUnitUrl } from '../../src/iscsi/url.ts';
import { strategyNames } from '../../src/memory/registration-strategies.ts';
import { defaultLimits, defaultMaximumClients } from '../../src/nbd/limits.ts';
import { isLoopback, parseListenAddress, type ListenAddress } from './listen-address.ts';
import { parseSize } from './size.ts';

const size = z.union([z.string(), z.number().int().nonnegative()]).transform((value, context) => {
  if (typeof value === 'number') return value;
  try {
    return parseSize(value);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});

const iscsiName = z
  .string()
  .max(223)
  .regex(/^(iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(:.+)?|eui\.[0-9a-fA-F]{16}|naa\.[0-9a-fA-F]{16,32})$/, {
    message:
      'must be an iSCSI name: iqn.YYYY-MM.reversed.domain[:text], eui. or naa. (RFC 7143 §4.2.7)',
  });

const targetUrl = z.string().transform((value, context) => {
  try {
    return { text: value, ...parseUnitUrl(value) };
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});

/** "host", "host:port" or "[IPv6]:port". */
const portal = z.string().transform((value, context) => {
  try {
    const { address, port, tag } = parseTargetAddress(value);
    if (tag === undefined) return { host: address, port };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  }
  context.addIssue({
    code: 'custom',
    message: 'must be "host", "host:port" or "[IPv6 address]:port"',
  });
  return z.NEVER;
});

const listenAddress = z.string().transform((value, context) => {
  try {
    return parseListenAddress(value);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});

/** Others than the owner either may use a disk as a whole or may not. */
export const socketModes = ['0600', '0660', '0666'] as const;
const group = z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/, {
  message: 'must be the name of a group',
});
const absolutePath = z.string().startsWith('/', { message: 'must be an absolute path' });

/** Seconds, turned into milliseconds. */
const seconds = z
  .number()
  .positive()
  .max(86400)
  .transform((value) => value * 1000);

export const digests = ['none', 'crc32c', 'prefer-crc32c'] as const;
const digest = z.enum(digests);

/** A sleeping CPU takes about as long to wake; what finds nothing is soon given up. Figures: test/bench/README.md. */
export const defaultSpinMicroseconds = 400;

export const logLevels = ['error', 'warn', 'info', 'debug'] as const;

export const volumeSchema = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, {
      message: 'must be letters, digits, ".", "_" or "-", at most 63',
    }),
    url: targetUrl,
    /** More portals of the same target, asked in turn when the one of the URL does not serve. */
    portals: z.array(portal).max(16).default([]),
    device: z
      .string()
      .regex(/^(auto|none|\/dev\/nbd\d+)$/, { message: 'must be "auto", "none" or "/dev/nbdN"' })
      .default('none'),
    socket: absolutePath.max(107).optional(),
    /** Of the socket's file; default 0600, or 0660 with a group. */
    socket_mode: z.enum(socketModes).optional(),
    socket_group: group.optional(),
    /** A TCP address for NBD clients: of this machine alone, or with TLS. */
    listen: listenAddress.optional(),
    tls_certificate: absolutePath.optional(),
    tls_key: absolutePath.optional(),
    /** Clients must show a certificate that this one has signed. */
    tls_client_ca: absolutePath.optional(),
    lanes: z.number().int().min(1).max(16).default(1),
    /** Seconds that I/O of the device waits for the next daemon (NBD_ATTR_DEAD_CONN_TIMEOUT). */
    dead_conn_timeout: z.number().int().min(1).max(604_800).default(86_400),
    /** At the end the device is detached even while it is in use. */
    force_detach: z.boolean().default(false),
    /** The daemon is READY (sd_notify(3)) only when this volume serves. */
    required: z.boolean().default(false),
    read_only: z.boolean().default(false),
    chap_user: z.string().min(1).optional(),
    chap_secret_file: z.string().optional(),
    mutual_chap_user: z.string().min(1).optional(),
    mutual_chap_secret_file: z.string().optional(),
    header_digest: digest.default('none'),
    data_digest: digest.default('none'),
    /** -1: wait for ever. */
    replacement_timeout: z
      .union([z.literal(-1), z.number().nonnegative().max(86400)])
      .default(120)
      .transform((value) => (value === -1 ? Infinity : value * 1000)),
    command_timeout: seconds.default(30_000),
    login_timeout: seconds.default(20_000),
    /** With nop_timeout, two looks at the clock and a busy machine less than the 10 s in which a dead peer is noticed. */
    nop_interval: seconds.default(2_000),
    nop_timeout: seconds.default(5_000),
  })
  .superRefine((volume, context) => {
    const pairs = [
      ['chap_user', 'chap_secret_file'],
      ['mutual_chap_user', 'mutual_chap_secret_file'],
    ] as const;
    for (const [user, secret] of pairs) {
      if ((volume[user] === undefined) !== (volume[secret] === undefined)) {
        const present = volume[user] === undefined ? secret : user;
        context.addIssue({
          code: 'custom',
          path: [present],
          message: `${user} and ${secret} belong together`,
        });
      }
    }
    if (volume.mutual_chap_user !== undefined && volume.chap_user === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['mutual_chap_user'],
        message: 'mutual CHAP needs chap_user too',
      });
    }
    if (volume.device === 'none' && volume.socket === undefined && volume.listen === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['device'],
        message: 'a volume needs a device, a socket or an address to listen on',
      });
    }
    refuseOpenDoors(volume, context);
    if (volume.url.secret !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['url'],
        message: 'put the secret into chap_secret_file, not into the URL',
      });
    }
  });

interface Doors {
  readonly socket?: string | undefined;
  readonly socket_mode?: string | undefined;
  readonly socket_group?: string | undefined;
  readonly listen?: ListenAddress | undefined;
  readonly tls_certificate?: string | undefined;
  readonly tls_key?: string | undefined;
  readonly tls_client_ca?: string | undefined;
}

/** NBD has no passwords: whoever reaches a listener has the disk. */
function refuseOpenDoors(volume: Doors, context: z.RefinementCtx): void {
  const refuse = (key: keyof Doors, message: string): void => {
    context.addIssue({ code: 'custom', path: [key], message });
  };
  for (const key of ['socket_mode', 'socket_group'] as const)
    if (volume[key] !== undefined && volume.socket === undefined)
      refuse(key, 'belongs to a socket, and there is none');
  if (volume.socket_group !== undefined && volume.socket_mode === '0600')
    refuse('socket_mode', 'mode 0600 lets no group in');
  const tlsKeys = ['tls_certificate', 'tls_key', 'tls_client_ca'] as const;
  const given = tlsKeys.filter((key) => volume[key] !== undefined);
  if (given.length > 0 && given.length < tlsKeys.length)
    refuse(given[0], `${tlsKeys.join(', ')} belong together`);
  if (given.length > 0 && volume.listen === undefined)
    refuse(given[0], 'TLS belongs to listen = "ADDRESS:PORT", and there is none');
  if (given.length === 0 && volume.listen !== undefined && !isLoopback(volume.listen)) {
    refuse(
      'listen',
      `${volume.listen.address} can be reached by others: that needs TLS (${tlsKeys.join(', ')})`,
    );
  }
}

const metricsPort = 9810;

const metricsSchema = z
  .strictObject({
    socket: absolutePath.max(107).optional(),
    /** Whose members may ask; default: only the daemon's own user may. */
    group: group.optional(),
    /** Of this machine alone. */
    listen: z
      .string()
      .transform((value, context) => {
        try {
          return parseListenAddress(value, metricsPort);
        } catch (error) {
          context.addIssue({ code: 'custom', message: (error as Error).message });
          return z.NEVER;
        }
      })
      .optional(),
  })
  .superRefine(({ socket, group: members, listen }, context) => {
    const refuse = (key: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [key], message });
    };
    if (socket !== undefined && listen !== undefined)
      refuse('listen', 'metrics are either on a socket or on an address');
    if (members !== undefined && socket === undefined)
      refuse('group', 'belongs to a socket, and there is none');
    if (listen !== undefined && !isLoopback(listen)) {
      refuse(
        'listen',
        `${listen.address} can be reached by others, and metrics have no password: use 127.0.0.1 or [::1], with a proxy that asks for one in front`,
      );
    }
  });

/** Everything but the volumes. */
export const mainSchema = z.strictObject({
  initiator: z.strictObject({ name: iscsiName.optional() }).prefault({}),
  memory: z
    .strictObject({
      registration: z.enum(strategyNames).default('cache'),
      /** Most bytes that registrations may pin, per lane and RDMA device. */
      pin_limit: size.default(256 * 2 ** 20),
      /** Address space for request buffers, per lane; pages are touched as they are needed. */
      arena_size: size
        .refine((bytes) => bytes >= 16 * 2 ** 20 && bytes <= 3 * 2 ** 30, {
          message: 'must be between 16MiB and 3GiB',
        })
        .default(256 * 2 ** 20),
      huge_pages: z.boolean().default(false),
    })
    .prefault({}),
  lanes: z
    .strictObject({
      /** How long a lane polls for more before it sleeps, with few requests in flight and while that finds something. 0: not at all. */
      spin_us: z.number().int().min(0).max(1000).default(defaultSpinMicroseconds),
    })
    .prefault({}),
  control: z
    .strictObject({
      socket: z.string().startsWith('/').max(107).default('/run/iserd/control.sock'),
      /** Whose members may ask the daemon, too; default: only its own user may. */
      group: group.optional(),
    })
    .prefault({}),
  /** What NBD clients may cost before they wait or are dropped. */
  limits: z
    .strictObject({
      /** Clients of a volume's socket at a time. */
      clients: z.number().int().min(1).max(4096).default(defaultMaximumClients),
      /** From connecting to the end of the handshake. */
      handshake_timeout: seconds.default(defaultLimits.handshakeMs),
      /** Without progress on what a client owes: replies to take, the rest of a request. 0: for ever. */
      stall_timeout: z
        .number()
        .nonnegative()
        .max(86400)
        .transform((value) => value * 1000)
        .default(defaultLimits.stallMs),
      /** Requests of one client at a time. */
      requests: z.number().int().min(1).max(1024).default(defaultLimits.requests),
      /** Payload of these; one request is always let through. */
      memory: size.default(defaultLimits.bytesInFlight),
    })
    .prefault({}),
  /** Where Prometheus finds us; default: nowhere. */
  metrics: metricsSchema.prefault({}),
  log: z.strictObject({ level: z.enum(logLevels).default('info') }).prefault({}),
});

export const configSchema = mainSchema.extend({ volume: z.array(volumeSchema).default([]) });

export type Config = z.output<typeof configSchema>;
export type VolumeConfig = z.output<typeof volumeSchema>;
