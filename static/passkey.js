// Passkeys: the browser's own dialog, between a form's options and its hidden field. The server verifies what comes back.
const fromBase64url = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const toBase64url = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const readable = (options) => ({
  ...options,
  challenge: fromBase64url(options.challenge),
  ...(options.user && { user: { ...options.user, id: fromBase64url(options.user.id) } }),
  ...Object.fromEntries(
    ["excludeCredentials", "allowCredentials"]
      .filter((name) => options[name])
      .map((name) => [name, options[name].map((each) => ({ ...each, id: fromBase64url(each.id) }))]),
  ),
});

const sendable = (credential) => {
  const { response } = credential;
  const names = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  return {
    id: credential.id,
    rawId: toBase64url(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: Object.fromEntries(names.filter((name) => response[name]).map((name) => [name, toBase64url(response[name])])),
  };
};

const optionsOf = async (form) => {
  if (form.dataset.options) return JSON.parse(form.dataset.options);
  const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
  return (await answer.json()).request_options;
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    const field = form.elements.credential;
    if (field.value) return;
    event.preventDefault();
    const told = form.querySelector("[data-passkey-failed]");
    told.hidden = true;
    try {
      const publicKey = readable((await optionsOf(form)).publicKey);
      const isNew = form.dataset.passkey === "create";
      field.value = JSON.stringify(sendable(await (isNew ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey }))));
      form.submit();
    } catch {
      // Given up, timed out, or no such passkey on this device: the browser has said so already.
      told.hidden = false;
    }
  });
}
