import { defineConfig } from "vitest/config";

// Tests run from the compiled tree: threads and child processes need real JavaScript files, and so there is one build, not two.
export default defineConfig({
  test: {
    include: ["dist/test/**/*.test.js"],
    exclude: ["node_modules/**"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
});
