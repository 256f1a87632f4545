import { visit } from "unist-util-visit";

let alone = 0;

/** Code blocks that scroll become regions; each needs a name of its own. */
const namedCode = {
  name: "names of code blocks",
  hooks: {
    postprocessRenderedBlock({ codeBlock, renderData }) {
      const index = codeBlock.parentDocument?.positionInDocument?.groupIndex;
      visit(renderData.blockAst, "element", (node) => {
        if (node.tagName === "pre") Object.assign(node.properties, { tabindex: "0", "aria-label": `Code ${index === undefined ? ++alone : index + 1}` });
      });
    },
  },
};

export default { plugins: [namedCode] };
