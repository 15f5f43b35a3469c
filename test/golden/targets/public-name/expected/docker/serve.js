console.log("the bundled server");
