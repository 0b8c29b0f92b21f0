/** The PDU codecs, one file per PDU or pair of PDUs. */
export * from './async-message.ts';
export * from './login.ts';
export * from './logout.ts';
export * from './nop.ts';
export * from './reject.ts';
export type { ResponseHeader } from './response-header.ts';
export * from './scsi-command.ts';
export * from './scsi-response.ts';
export * from './task-management.ts';
export * from './text.ts';
