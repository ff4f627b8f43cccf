// What the editor holds at the first visit: a way through the demo, or a welcome.
import logIn from "./tabs/1-log-in.graphql";
import watch from "./tabs/2-watch.graphql";
import submit from "./tabs/3-submit.graphql";
import decide from "./tabs/4-decide.graphql";
import deliveries from "./tabs/5-deliveries.graphql";
import changes from "./tabs/6-changes.graphql";
import welcome from "./tabs/welcome.graphql";

const asJson = (variables) => JSON.stringify(variables, null, 2);

export const DEMO_TABS = [
  { query: logIn },
  { query: watch },
  { query: submit },
  { query: decide, variables: asJson({ id: "paste an id from PendingRequests" }) },
  { query: deliveries },
  { query: changes },
];

export const WELCOME_TABS = [{ query: welcome }];
