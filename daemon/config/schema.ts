/** The configuration file as data: the one place that knows every key, its values and its default. */
import { z } from 'zod';
import { ConfigurationError } from '../../src/errors.ts';
import { parseTargetUrl } from '../../src/iscsi/url.ts';
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
    const url = parseTargetUrl(value);
    if (url.targetName === undefined || url.lun === undefined) {
      throw new ConfigurationError(
        'bad-url',
        'the URL must name a target and a LUN: iser://host/iqn.…/0',
      );
    }
    return { text: value, ...url, targetName: url.targetName, lun: url.lun };
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});

/** Seconds, turned into milliseconds. */
const seconds = z
  .number()
  .positive()
  .max(86400)
  .transform((value) => value * 1000);

export const digests = ['none', 'crc32c', 'prefer-crc32c'] as const;
const digest = z.enum(digests);

export const registrationNames = ['cache', 'static', 'copy', 'per-io'] as const;
export const logLevels = ['error', 'warn', 'info', 'debug'] as const;

export const volumeSchema = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, {
      message: 'must be letters, digits, ".", "_" or "-", at most 63',
    }),
    url: targetUrl,
    device: z
      .string()
      .regex(/^(auto|none|\/dev\/nbd\d+)$/, { message: 'must be "auto", "none" or "/dev/nbdN"' })
      .default('none'),
    socket: z.string().startsWith('/', { message: 'must be an absolute path' }).max(107).optional(),
    lanes: z.number().int().min(1).max(16).default(1),
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
    nop_interval: seconds.default(5_000),
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
    if (volume.device === 'none' && volume.socket === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['device'],
        message: 'a volume needs a device, a socket or both',
      });
    }
    if (volume.url.secret !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['url'],
        message: 'put the secret into chap_secret_file, not into the URL',
      });
    }
  });

export const configSchema = z
  .strictObject({
    initiator: z.strictObject({ name: iscsiName.optional() }).prefault({}),
    memory: z
      .strictObject({
        registration: z.enum(registrationNames).default('cache'),
        /** Most bytes that registrations may pin, per lane and RDMA device. */
        pin_limit: size.default(256 * 2 ** 20),
        /** Address space for request buffers, per lane; pages are touched as they are needed. */
        arena_size: size.default(256 * 2 ** 20),
        huge_pages: z.boolean().default(false),
      })
      .prefault({}),
    control: z
      .strictObject({
        socket: z.string().startsWith('/').max(107).default('/run/iserd/control.sock'),
      })
      .prefault({}),
    log: z.strictObject({ level: z.enum(logLevels).default('info') }).prefault({}),
    volume: z.array(volumeSchema).default([]),
  })
  .superRefine((config, context) => {
    refuseDuplicates(config.volume, 'name', context);
    refuseDuplicates(config.volume, 'socket', context);
    refuseDuplicates(config.volume, 'device', context);
  });

export type Config = z.output<typeof configSchema>;
export type VolumeConfig = z.output<typeof volumeSchema>;

function refuseDuplicates(
  volumes: readonly VolumeConfig[],
  key: 'name' | 'socket' | 'device',
  context: z.RefinementCtx,
): void {
  const seen = new Set<string>();
  volumes.forEach((volume, index) => {
    const value = volume[key];
    if (value === undefined || value === 'auto' || value === 'none') return;
    if (seen.has(value)) {
      context.addIssue({
        code: 'custom',
        path: ['volume', index, key],
        message: `"${value}" is used twice`,
      });
    }
    seen.add(value);
  });
}
