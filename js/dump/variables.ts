/**
 * The environment variables that switch a warning on.
 */

/** Whether the variable is `1`. */
export function isSet(name: string): boolean {
  try {
    return process.env[name] === '1'
  } catch {
    // Deno throws where a program may not read the environment.
    return false
  }
}
