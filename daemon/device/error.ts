/** What can go wrong with /dev/nbdN, and what the kernel's errno means for people. */
import { CodedError } from '../../src/errors.ts';
import type { NativeError } from '../../src/reactor/native.ts';

export const KernelDeviceErrorCode = {
  /** The kernel has no "nbd" netlink family. */
  moduleMissing: 'nbd-module-missing',
  notPermitted: 'nbd-not-permitted',
  /** Somebody's export is attached to the device. */
  inUse: 'device-in-use',
  /** The idle device is held open by another process. */
  busy: 'device-busy',
  /** The device serves another backend than the one to re-attach. */
  otherBackend: 'device-other-backend',
  /** The device was disconnected while it was open, and is dead until its last close. */
  disconnected: 'device-disconnected',
  /** The device was attached with another block size, which cannot be changed. */
  otherBlockSize: 'device-other-block-size',
  /** The volume owns an attached device of another logical unit. */
  otherUnit: 'device-other-unit',
  attachFailed: 'attach-failed',
  sizeNotSeen: 'device-size-not-seen',
} as const;

export class KernelDeviceError extends CodedError {}

/** A refusal of the kernel's NBD client as something to act on. */
export function explainRefusal(error: NativeError): KernelDeviceError {
  const options = { cause: error };
  if (error.syscall === 'genl_ctrl_resolve(nbd)' && error.code === 'ENOENT') {
    return new KernelDeviceError(
      KernelDeviceErrorCode.moduleMissing,
      'the kernel has no NBD client: run "modprobe nbd" (package linux-image-amd64)',
      options,
    );
  }
  if (error.code === 'EPERM' || error.code === 'EACCES') {
    return new KernelDeviceError(
      KernelDeviceErrorCode.notPermitted,
      'attaching a kernel device needs CAP_SYS_ADMIN: run as root, or serve a Unix socket instead',
      options,
    );
  }
  return new KernelDeviceError(
    KernelDeviceErrorCode.attachFailed,
    `the kernel refused the nbd device: ${error.message}`,
    options,
  );
}
