// The API's page, drawn from its own description (OpenAPI).

import { preferred, speak, t } from "./i18n.js";

const element = (name, text = "", ...inside) => {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...inside);
  return made;
};

const resolved = (node, all) => (node?.$ref ? all.components.schemas[node.$ref.split("/").at(-1)] : node);

function shaped(node, all, deep = 0) {
  const schema = resolved(node, all) ?? {};
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map((choice) => shaped(choice, all, deep)).join(" | ");
  if (schema.type === "object" && schema.properties && deep < 2) {
    const pad = "  ".repeat(deep + 1);
    const rows = Object.entries(schema.properties).map(([name, value]) => `${pad}${name}: ${shaped(value, all, deep + 1)}${value.description ? `   (${value.description})` : ""}`);
    return `{\n${rows.join("\n")}\n${"  ".repeat(deep)}}`;
  }
  if (schema.type === "array") return `[${shaped(schema.items ?? schema.prefixItems?.[0], all, deep)} …]`;
  const limits = [schema.minimum !== undefined ? `≥ ${schema.minimum}` : "", schema.maximum !== undefined ? `≤ ${schema.maximum}` : ""].filter(Boolean).join(", ");
  return (schema.enum?.map((value) => JSON.stringify(value)).join(" | ") ?? schema.type ?? schema.title ?? "any") + (limits ? ` ${limits}` : "");
}

function operation(method, path, facts, all) {
  const summary = element("summary", "", element("b", method.toUpperCase()), element("code", path), ` ${(facts.description ?? "").split("\n")[0]}`);
  const box = element("details", "", summary);
  const body = facts.requestBody && Object.entries(facts.requestBody.content)[0];
  const parameters = (facts.parameters ?? []).map((parameter) => `${parameter.name}: ${shaped(parameter.schema, all)}`);
  const wanted = [...parameters, ...(body ? [`${body[0]}\n${shaped(body[1].schema, all)}`] : [])].join("\n");
  if (wanted) box.append(element("p", t("apiTakes")), code(wanted));
  const good = Object.entries(facts.responses).find(([status]) => status.startsWith("2"));
  if (good) {
    const content = Object.entries(good[1].content ?? {})[0];
    box.append(element("p", t("apiAnswers")), code(`${good[0]} ${good[1].description}\n${content ? `${content[0]}\n${content[1].schema ? shaped(content[1].schema, all) : ""}` : ""}`));
  }
  return box;
}

function code(text) {
  const box = element("pre", "", element("code", text));
  box.tabIndex = 0;
  return box;
}

async function draw() {
  document.documentElement.dataset.theme = localStorage.getItem("preludio.theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  await speak(preferred());
  document.getElementById("example").textContent = `curl -N ${location.origin}/api/compose -H 'content-type: application/json' -d '{"seconds": 30, "seed": 7}'`;
  const all = await (await fetch("/api/openapi.json")).json();
  const groups = new Map();
  for (const [path, methods] of Object.entries(all.paths)) {
    for (const [method, facts] of Object.entries(methods)) {
      const tag = facts.tags?.[0] ?? "studio";
      groups.set(tag, [...(groups.get(tag) ?? []), operation(method, path, facts, all)]);
    }
  }
  for (const [tag, operations] of groups) document.getElementById("operations").append(element("h2", tag), ...operations);
}

draw();
