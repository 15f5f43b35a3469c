declare const __MCP_DEPLOY_VERSION__: string | undefined;

/** Version of mcp-deploy, put in by the build; tests that run from source see `0.0.0-dev`. */
export const serverVersion: string = typeof __MCP_DEPLOY_VERSION__ === 'string' ? __MCP_DEPLOY_VERSION__ : '0.0.0-dev';
