// '/' leads to the search box, unless somebody is typing.
document.addEventListener("keydown", (e) => {
  if (e.key !== "/" || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
  e.preventDefault();
  document.getElementById("search").focus();
});
