// Prints the command that runs a program for AArch64 on this machine. The Makefile gives it to cargo.

import { qemu } from './platforms.ts'

console.log(qemu().join(' '))
