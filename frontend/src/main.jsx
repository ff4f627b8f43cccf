import "./workers.js";
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "graphiql/graphiql.css";
import "./style.css";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import { fetcher } from "./fetcher.js";
import { LIVE_PLUGIN } from "./Live.jsx";
import { DEMO_TABS, WELCOME_TABS } from "./tabs.js";
import { Notice, Workbench } from "./Workbench.jsx";

const { demo, mailbox } = document.documentElement.dataset;
const PLUGINS = [LIVE_PLUGIN];

// No history plugin: it would write headers, and so tokens, to the browser's storage. The tabs are kept for this
// browser tab only, because a query's text can hold a password.
function App() {
  return (
    <>
      <GraphiQL
        fetcher={fetcher}
        storage={sessionStorage}
        plugins={PLUGINS}
        defaultTabs={demo === "true" ? DEMO_TABS : WELCOME_TABS}
        defaultEditorToolsVisibility="variables"
        shouldPersistHeaders={false}
        showPersistHeadersSettings={false}
      >
        <GraphiQL.Logo>
          <nav className="places" aria-label="Pages">
            <a href="/">gql_app</a>
            {mailbox === "true" && <a href="/mailbox">Mailbox</a>}
          </nav>
        </GraphiQL.Logo>
        <Workbench />
      </GraphiQL>
      <Notice />
    </>
  );
}

createRoot(document.getElementById("graphiql")).render(<App />);
