import { expect, it } from "vitest";
import { run } from "./experiments/distillation.ts";

it("students learn in a reduced form of the experiment", () => {
  const { students } = run({ seeds: 1, epochs: 10, rows: 400, teacherRows: 600, teacherEpochs: 5, rates: [0.05], methods: ["ce", "kd", "pld"] });
  // Ten classes: 0.1 by chance.
  for (const [student] of Object.values(students)) expect(student.right.reduce((a, b) => a + b, 0) / 2500).toBeGreaterThan(0.5);
});
