export function insertBetweenMarkers(document: string, name: string, text: string): string;
export function writeBetween(file: string, name: string, lines: readonly string[]): void;
export function commit(): string;
export function methodLine(command: string): string;
