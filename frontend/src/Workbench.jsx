import { pick, useGraphiQL } from "@graphiql/react";
import { useEffect } from "react";
import { isOurs, notice, sessionHeaders } from "./session.js";
import { workbench } from "./streams.js";

const NOTICE_MS = 6000;
const STATE = pick("tabs", "activeTabIndex", "queryEditor", "variableEditor", "headerEditor");

/** Connects GraphiQL's state with ours; shows nothing. */
export function Workbench() {
  const { tabs, activeTabIndex, ...editors } = useGraphiQL(STATE);
  const { queryEditor, variableEditor, headerEditor } = editors;
  const headers = sessionHeaders.use();
  const tab = tabs[activeTabIndex]?.id;

  useEffect(() => {
    workbench.tab = tab;
  }, [tab]);

  // Each tab gets the headers when it is looked at, so that no other tab's edits are touched.
  useEffect(() => {
    const current = headerEditor?.getValue();
    if (headers !== null && headerEditor && current !== headers && isOurs(current)) headerEditor.setValue(headers);
  }, [tab, headers, headerEditor]);

  useEffect(() => {
    for (const editor of [queryEditor, variableEditor, headerEditor]) editor?.updateOptions({ wordWrap: "on", fontSize: 14 });
  }, [queryEditor, variableEditor, headerEditor]);

  return null;
}

export function Notice() {
  const current = notice.use();
  useEffect(() => {
    if (!current) return undefined;
    const timer = setTimeout(() => notice.set(null), NOTICE_MS);
    return () => clearTimeout(timer);
  }, [current]);
  return (
    <div className="notice" role="status" hidden={!current}>
      {current?.message}
    </div>
  );
}
