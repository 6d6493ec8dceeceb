/** @type {import('@sveltejs/vite-plugin-svelte').SvelteConfig} */
export default { compilerOptions: { runes: true, discloseVersion: false, cssHash: ({ hash, css }) => `n${hash(css).slice(0, 4)}` } }
