/** The argument with which the primary starts a worker: the same file, another role. */
export const workerArgument = '--worker-process';
