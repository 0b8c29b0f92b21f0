export function expectContent(data: Buffer, expected: Buffer, where: string): void {
  if (data.equals(expected)) return;
  const shown = (bytes: Buffer): string => bytes.toString('latin1', 0, 32);
  const at = data.findIndex((byte, index) => byte !== expected[index]);
  throw new Error(
    `${where}: wrong data from byte ${at} on, "${shown(data)}" instead of "${shown(expected)}"`,
  );
}
