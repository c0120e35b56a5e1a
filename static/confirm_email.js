// The mail's link carries the code behind the #, which a browser sends to no server. Put it into the form, and take it out
// of the address bar and the history.
const code = window.location.hash.slice(1);
const field = document.getElementById("code");

if (code && field) {
  field.value = code;
  window.history.replaceState(null, "", window.location.pathname);
}
