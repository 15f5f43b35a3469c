import { stringify } from 'yaml';

/** YAML as clusters read it, which is 1.1: there `no` and `off` are false unless they are quoted. Nothing is referred to twice. */
export function writeClusterYaml(value: object): string {
  return stringify(value, { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false });
}
